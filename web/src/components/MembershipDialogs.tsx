// What somebody may do in an organisation: given, changed, taken away.
import { useState } from 'react'
import { fieldOf, messageOf } from '~/api/errors'
import { removeMembership, setMembership } from '~/api/people'
import type { Membership, Role, User } from '~/api/types'
import { OwnAccount } from '~/components/UserDialogs'
import { ActionForm } from '~/forms/ActionForm'
import { OrgField } from '~/forms/OrgField'
import { RolesField } from '~/forms/RolesField'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'
import { whyNotThere } from '~/util/people'

const isOfRoles = (error: unknown) => fieldOf(error) === 'roles'

interface Props {
  user: User
  onClose: () => void
}

export function AddMembership({ user, onClose }: Props) {
  const [orgId, setOrgId] = useState('')
  const [chosen, setChosen] = useState<Role[]>([])
  const roles = chosen.filter((role) => whyNotThere(role, orgId) === null)
  const done = () => {
    showToast(`Added: ${user.email}`)
    onClose()
  }
  return (
    <Dialog title="Add to an organisation" onClose={onClose}>
      <ActionForm
        button="Add"
        tone="primary"
        keep="Cancel"
        reason="optional"
        whyNot={!orgId ? 'Choose an organisation first' : roles.length === 0 ? 'Choose a role first' : null}
        isDirty={orgId !== '' || chosen.length > 0}
        act={(reason) => setMembership(user.user_id, orgId, roles, reason)}
        isAtField={isOfRoles}
        onDone={done}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>{user.email} can then act for this organisation, too, by choosing it in the console.</p>
            <OrgField value={orgId} onChange={setOrgId} isIn={user.memberships} />
            <RolesField orgId={orgId} roles={chosen} onChange={setChosen} error={isOfRoles(error) ? messageOf(error) : null} />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}

interface OneProps extends Props {
  membership: Membership
}

const makesTokens = (roles: readonly Role[]) => roles.some((role) => role === 'admin' || role === 'operator')

const sameRoles = (a: readonly string[], b: readonly string[]) => a.toSorted().join() === b.toSorted().join()

export function ChangeRoles({ user, membership, onClose }: OneProps) {
  const [roles, setRoles] = useState<Role[]>(membership.roles)
  const isChanged = !sameRoles(roles, membership.roles)
  const done = () => {
    showToast(`Roles changed: ${user.email}`)
    onClose()
  }
  return (
    <Dialog title={`Roles in ${membership.org_name}`} onClose={onClose}>
      <ActionForm
        button="Change roles"
        tone="primary"
        reason="optional"
        whyNot={roles.length === 0 ? 'Leave at least one role, or take them out of the organisation' : isChanged ? null : 'Nothing is changed yet'}
        isDirty={isChanged}
        act={(reason) => setMembership(user.user_id, membership.org_id, roles, reason)}
        isAtField={isOfRoles}
        onDone={done}
        onClose={onClose}
      >
        {(error) => (
          <>
            <OwnAccount user={user} />
            <p>What {user.email} may do changes at once, also on pages that they have open.</p>
            {makesTokens(membership.roles) && roles.length > 0 && !makesTokens(roles) && <p>Enrolment tokens that they made there and API keys that need this role stop to work, and they take care of none of its nodes any more, for good.</p>}
            <RolesField orgId={membership.org_id} roles={roles} onChange={setRoles} error={isOfRoles(error) ? messageOf(error) : null} />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}

export function RemoveMembership({ user, membership, onClose }: OneProps) {
  const isLast = user.memberships.every((one) => one.org_id === membership.org_id || one.is_closed)
  const done = () => {
    showToast(`Taken out of ${membership.org_name}: ${user.email}`)
    onClose()
  }
  return (
    <Dialog title={`Take out of ${membership.org_name}`} onClose={onClose}>
      <ActionForm button="Take out" tone="danger" reason="none" act={() => removeMembership(user.user_id, membership.org_id)} onDone={done} onClose={onClose}>
        <OwnAccount user={user} />
        <p>
          {user.email} can no longer act for {membership.org_name}, at once. Their API keys for it end, enrolment tokens that they made there stop to work, and they take
          care of none of its nodes any more. Nodes that are enrolled stay.
        </p>
        {isLast && !user.disabled_at && <p>They are in no other open organisation: they can still sign in, and see what strangers see.</p>}
      </ActionForm>
    </Dialog>
  )
}
