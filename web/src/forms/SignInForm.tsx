import { type FormEvent, useState } from 'react'
import { login } from '~/api/mutations'
import { ApiError, messageOf } from '~/api/errors'
import { useSubmit } from '~/hooks/use-submit'
import { Button } from '~/ui/Button'
import { TextField } from '~/ui/Field'

function explain(error: unknown): string {
  if (error instanceof ApiError && error.status === 401) return 'E-mail and password do not match an account here.'
  if (error instanceof ApiError && error.status === 429) return 'Too many attempts. Wait a minute, then try again.'
  return messageOf(error)
}

export function SignInForm({ email = '', onDone }: { email?: string; onDone: () => void }) {
  const [fields, setFields] = useState({ email, password: '' })
  const signIn = useSubmit({ mutationFn: () => login(fields.email, fields.password), onSuccess: onDone })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    signIn.submit()
  }
  return (
    <form className="form" onSubmit={submit} data-dirty={fields.password ? '' : undefined}>
      <TextField
        label="E-mail"
        type="email"
        autoComplete="username"
        required
        value={fields.email}
        onChange={(event) => setFields((now) => ({ ...now, email: event.target.value }))}
      />
      <TextField
        label="Password"
        type="password"
        autoComplete="current-password"
        required
        value={fields.password}
        onChange={(event) => setFields((now) => ({ ...now, password: event.target.value }))}
      />
      {signIn.error && (
        <p className="field-error" role="alert">
          {explain(signIn.error)}
        </p>
      )}
      <Button tone="primary" type="submit" isBusy={signIn.isPending}>
        Sign in
      </Button>
    </form>
  )
}
