import { type FormEvent, useState } from 'react'
import { messageOf } from '~/api/errors'
import { setUpFirstAdmin } from '~/api/sign-in'
import { NewSignInFields } from '~/forms/NewSignInFields'
import { useSubmit } from '~/hooks/use-submit'
import { Button } from '~/ui/Button'

export function SetupForm({ token, onDone }: { token: string; onDone: () => void }) {
  const [fields, setFields] = useState({ email: '', password: '' })
  const setUp = useSubmit({ mutationFn: () => setUpFirstAdmin(token, fields.email, fields.password), onSuccess: onDone })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    setUp.submit()
  }
  return (
    <form className="form" onSubmit={submit} data-dirty={fields.password || fields.email ? '' : undefined}>
      <NewSignInFields {...fields} onChange={(change) => setFields((now) => ({ ...now, ...change }))} />
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
