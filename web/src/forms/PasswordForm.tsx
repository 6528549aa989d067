import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { fieldOf, messageOf } from '~/api/errors'
import { setPassword } from '~/api/password'
import { query } from '~/api/queries'
import type { Me } from '~/api/types'
import { Refusal } from '~/components/Refusal'
import { useSubmit } from '~/hooks/use-submit'
import { Button } from '~/ui/Button'
import { TextField } from '~/ui/Field'

const SHORTEST = 8
const LONGEST = 256

export function PasswordForm({ me, onDone }: { me: Me; onDone: () => void }) {
  const [fields, setFields] = useState({ current: '', password: '' })
  const setting = useSubmit({ mutationFn: () => setPassword(fields.current, fields.password), onSuccess: onDone })
  const sessions = useQuery({ ...query.sessions(), enabled: me.has_password })
  const cameByLink = sessions.data?.items.some((one) => one.is_current && one.method === 'link') ?? false
  const refused = fieldOf(setting.error)
  // It may have been set elsewhere since this page was told that there is none.
  const hasOne = me.has_password || refused === 'current'
  const errorAt = (field: string) => (refused === field ? messageOf(setting.error) : null)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    setting.submit()
  }
  return (
    <form className="form" onSubmit={submit} data-dirty={fields.current || fields.password ? '' : undefined}>
      {/* For password managers: whose password it is. */}
      <input type="email" autoComplete="username" value={me.email} readOnly hidden />
      {hasOne && (
        <TextField
          label="Present password"
          type="password"
          autoComplete="current-password"
          hint={cameByLink ? 'May stay empty for 15 minutes after you signed in by a link.' : 'Asked for, so that nobody else at this browser changes it.'}
          value={fields.current}
          error={errorAt('current')}
          onChange={(event) => setFields((now) => ({ ...now, current: event.target.value }))}
        />
      )}
      <TextField
        label="New password"
        type="password"
        autoComplete="new-password"
        required
        minLength={SHORTEST}
        maxLength={LONGEST}
        hint={`${SHORTEST} to ${LONGEST} characters. A few words are easier to keep than a short riddle.`}
        value={fields.password}
        error={errorAt('password')}
        onChange={(event) => setFields((now) => ({ ...now, password: event.target.value }))}
      />
      {setting.error && refused !== 'current' && refused !== 'password' && <Refusal error={setting.error} />}
      <p className="muted small">All your other sign-ins end, and so do sign-in links that were made for you. This browser stays signed in. Wallets, accounts elsewhere and API keys go on working: look through them if somebody else may have been in your account.</p>
      <Button tone="primary" type="submit" isBusy={setting.isPending}>
        {hasOne ? 'Change the password' : 'Set the password'}
      </Button>
    </form>
  )
}
