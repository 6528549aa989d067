import { useState } from 'react'
import { ApiError, fieldOf, messageOf } from '~/api/errors'
import { inviteUser } from '~/api/people'
import type { Role, SignInLink } from '~/api/types'
import { ActionForm } from '~/forms/ActionForm'
import { OrgField } from '~/forms/OrgField'
import { RolesField } from '~/forms/RolesField'
import { TextField } from '~/ui/Field'
import { whyNotThere } from '~/util/people'

/** An address that is taken, and an organisation that is gone or closed, are refused without the name of a field. */
const FIELD_OF_TYPE: Record<string, string> = { conflict: 'email', not_found: 'org_id' }

const fieldAt = (error: unknown) => fieldOf(error) ?? (error instanceof ApiError ? (FIELD_OF_TYPE[error.type] ?? null) : null)

interface Props {
  /** The organisation to begin with. */
  orgId: string
  onInvited: (link: SignInLink, email: string) => void
  onClose: () => void
}

export function InviteForm({ orgId: first, onInvited, onClose }: Props) {
  const [email, setEmail] = useState('')
  const [orgId, setOrgId] = useState(first)
  const [chosen, setChosen] = useState<Role[]>([])
  const roles = chosen.filter((role) => whyNotThere(role, orgId) === null)
  const whyNot = !email.trim() ? 'Write an e-mail address first' : roles.length === 0 ? 'Choose a role first' : null
  return (
    <ActionForm
      button="Invite"
      tone="primary"
      keep="Cancel"
      reason="none"
      whyNot={whyNot}
      isDirty={email !== '' || chosen.length > 0}
      act={() => inviteUser({ email: email.trim(), org_id: orgId, roles })}
      isAtField={(error) => fieldAt(error) !== null}
      onDone={(link) => onInvited(link, email.trim())}
      onClose={onClose}
    >
      {(error) => {
        const refusal = (field: string) => (fieldAt(error) === field ? messageOf(error) : null)
        return (
          <>
            <TextField
              label="E-mail"
              type="email"
              required
              autoComplete="off"
              value={email}
              onChange={(event) => setEmail(event.target.value)}
              hint="They sign in with it. No mail is sent: you get a link and pass it on."
              error={refusal('email')}
            />
            <OrgField value={orgId} onChange={setOrgId} error={refusal('org_id')} />
            <RolesField orgId={orgId} roles={chosen} onChange={setChosen} error={refusal('roles')} />
          </>
        )
      }}
    </ActionForm>
  )
}
