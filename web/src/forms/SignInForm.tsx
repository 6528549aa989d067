import { type FormEvent, useEffect, useRef, useState } from 'react'
import { ApiError, messageOf } from '~/api/errors'
import { type Pending, login } from '~/api/sign-in'
import { useSubmit } from '~/hooks/use-submit'
import { Button } from '~/ui/Button'
import { TextField } from '~/ui/Field'

function explain(error: unknown): string {
  if (error instanceof ApiError && error.status === 401) return 'E-mail and password do not match an account here.'
  if (error instanceof ApiError && error.status === 429) return 'Too many attempts. Wait a minute, then try again.'
  return messageOf(error)
}

interface Props {
  email: string
  /** Somebody comes back to it, whose button is gone: they go on at the first field that is empty. */
  isBack: boolean
  onProven: (pending: Pending | null, email: string) => void
}

export function SignInForm({ email, isBack, onProven }: Props) {
  const [fields, setFields] = useState({ email, password: '' })
  const form = useRef<HTMLFormElement>(null)
  const signIn = useSubmit({ mutationFn: () => login(fields.email, fields.password), onSuccess: (pending) => onProven(pending, fields.email) })
  useEffect(() => {
    if (isBack) [...(form.current?.querySelectorAll('input') ?? [])].find(({ value }) => !value)?.focus()
  }, [isBack])
  const submit = (event: FormEvent) => {
    event.preventDefault()
    signIn.submit()
  }
  return (
    <form ref={form} className="form" onSubmit={submit} data-dirty={fields.password ? '' : undefined}>
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
