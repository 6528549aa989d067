import { TextField } from '~/ui/Field'

const SHORTEST_PASSWORD = 8

export interface NewSignIn {
  email: string
  password: string
}

interface Props extends NewSignIn {
  onChange: (change: Partial<NewSignIn>) => void
  /** What the server has against a field. */
  errorAt?: (field: keyof NewSignIn) => string | null
}

/** What whoever makes an account will sign in with. */
export function NewSignInFields({ email, password, onChange, errorAt }: Props) {
  return (
    <>
      <TextField
        label="E-mail"
        type="email"
        autoComplete="username"
        required
        hint="You sign in with it. No mail is sent."
        value={email}
        error={errorAt?.('email') ?? null}
        onChange={(event) => onChange({ email: event.target.value })}
      />
      <TextField
        label="Password"
        type="password"
        autoComplete="new-password"
        required
        minLength={SHORTEST_PASSWORD}
        hint={`At least ${SHORTEST_PASSWORD} characters. A few words are easier to keep than a short riddle.`}
        value={password}
        error={errorAt?.('password') ?? null}
        onChange={(event) => onChange({ password: event.target.value })}
      />
    </>
  )
}
