import { type FormEvent, useState } from 'react'
import { messageOf } from '~/api/errors'
import { setUpFirstAdmin } from '~/api/sign-in'
import { useSubmit } from '~/hooks/use-submit'
import { Button } from '~/ui/Button'
import { TextField } from '~/ui/Field'

const SHORTEST_PASSWORD = 8

export function SetupForm({ token, onDone }: { token: string; onDone: () => void }) {
  const [fields, setFields] = useState({ email: '', password: '' })
  const setUp = useSubmit({ mutationFn: () => setUpFirstAdmin(token, fields.email, fields.password), onSuccess: onDone })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    setUp.submit()
  }
  return (
    <form className="form" onSubmit={submit} data-dirty={fields.password || fields.email ? '' : undefined}>
      <TextField
        label="E-mail"
        type="email"
        autoComplete="username"
        required
        hint="You sign in with it. No mail is sent."
        value={fields.email}
        onChange={(event) => setFields((now) => ({ ...now, email: event.target.value }))}
      />
      <TextField
        label="Password"
        type="password"
        autoComplete="new-password"
        required
        minLength={SHORTEST_PASSWORD}
        hint={`At least ${SHORTEST_PASSWORD} characters. A few words are easier to keep than a short riddle.`}
        value={fields.password}
        onChange={(event) => setFields((now) => ({ ...now, password: event.target.value }))}
      />
      {setUp.error && (
        <p className="field-error" role="alert">
          {messageOf(setUp.error)}
        </p>
      )}
      <Button tone="primary" type="submit" isBusy={setUp.isPending}>
        Create the first admin
      </Button>
    </form>
  )
}
