import { type FormEvent, useState } from 'react'
import { fieldOf, messageOf } from '~/api/errors'
import { register } from '~/api/sign-in'
import { NewSignInFields } from '~/forms/NewSignInFields'
import { useSubmit } from '~/hooks/use-submit'
import { Button } from '~/ui/Button'
import { TextField } from '~/ui/Field'

const NAME_MAX = 64
/** What the server calls the fields of this form. */
const FIELDS = ['email', 'password', 'name']

/** An account, and an organisation of its own. Whoever made them is in. */
export function RegisterForm() {
  const [fields, setFields] = useState({ email: '', password: '', organisation: '' })
  const making = useSubmit({ mutationFn: () => register(fields), onSuccess: () => {} })
  const refused = fieldOf(making.error)
  const errorAt = (field: string) => (refused === field ? messageOf(making.error) : null)
  const change = (some: Partial<typeof fields>) => setFields((now) => ({ ...now, ...some }))
  const submit = (event: FormEvent) => {
    event.preventDefault()
    making.submit()
  }
  return (
    <form className="form" onSubmit={submit} data-dirty={Object.values(fields).some(Boolean) ? '' : undefined}>
      <NewSignInFields email={fields.email} password={fields.password} onChange={change} errorAt={errorAt} />
      <TextField
        label="Name of your organisation"
        required
        maxLength={NAME_MAX}
        autoComplete="organization"
        hint="Nodes that you run belong to it."
        value={fields.organisation}
        error={errorAt('name')}
        onChange={(event) => change({ organisation: event.target.value })}
      />
      {making.error && !FIELDS.includes(refused ?? '') && (
        <p className="field-error" role="alert">
          {messageOf(making.error)}
        </p>
      )}
      <Button tone="primary" type="submit" isBusy={making.isPending}>
        Make the account
      </Button>
    </form>
  )
}
