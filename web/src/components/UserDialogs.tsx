// What admins do about a person's account, each with what it does.
import { useState } from 'react'
import { disableUser, enableUser, makeSignInLink, resetSecondFactor } from '~/api/people'
import type { SignInLink, User } from '~/api/types'
import { OneTimeLink } from '~/components/OneTimeLink'
import { ActionForm } from '~/forms/ActionForm'
import { InviteForm } from '~/forms/InviteForm'
import { useMe } from '~/hooks/use-me'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'

interface Props {
  user: User
  onClose: () => void
}

/** Said where an admin is about to change their own account. */
export function OwnAccount({ user }: { user: User }) {
  if (useMe()?.user_id !== user.user_id) return null
  return <p className="notice notice-amber">This is your own account.</p>
}

export function InviteUser({ orgId, onClose }: { orgId: string; onClose: () => void }) {
  const [invited, setInvited] = useState<{ link: SignInLink; email: string } | null>(null)
  if (invited) return <OneTimeLink {...invited} onClose={onClose} />
  return (
    <Dialog title="Invite a user" onClose={onClose}>
      <InviteForm orgId={orgId} onInvited={(link, email) => setInvited({ link, email })} onClose={onClose} />
    </Dialog>
  )
}

export function NewLink({ user, onClose }: Props) {
  const [link, setLink] = useState<SignInLink | null>(null)
  if (link) return <OneTimeLink link={link} email={user.email} onClose={onClose} />
  return (
    <Dialog title="New sign-in link" onClose={onClose}>
      <ActionForm button="Make the link" tone="primary" keep="Cancel" reason="none" act={() => makeSignInLink(user.user_id)} onDone={setLink} onClose={onClose}>
        <p>The link signs in {user.email} once, within a day. It is as good as their password, and is shown this once.</p>
      </ActionForm>
    </Dialog>
  )
}

export function DisableUser({ user, onClose }: Props) {
  const done = () => {
    showToast(`Disabled: ${user.email}`)
    onClose()
  }
  return (
    <Dialog title={`Disable ${user.email}`} onClose={onClose}>
      <ActionForm button="Disable the account" tone="danger" reason="required" act={(reason) => disableUser(user.user_id, reason)} onDone={done} onClose={onClose}>
        <OwnAccount user={user} />
        <p>They are signed out everywhere at once, and cannot sign in.</p>
        <p>
          Their sign-ins, sign-in links, API keys and enrolment tokens end for good, and they take care of no nodes any more: enabling the account later brings none of it
          back. Their roles stay, and so do nodes that are enrolled.
        </p>
      </ActionForm>
    </Dialog>
  )
}

export function EnableUser({ user, onClose }: Props) {
  const done = () => {
    showToast(`Enabled: ${user.email}`)
    onClose()
  }
  return (
    <Dialog title={`Enable ${user.email}`} onClose={onClose}>
      <ActionForm button="Enable the account" tone="primary" reason="optional" act={(reason) => enableUser(user.user_id, reason)} onDone={done} onClose={onClose}>
        <OwnAccount user={user} />
        <p>They can sign in again, with the roles that they have. Sign-ins, links, API keys and enrolment tokens from before stay ended.</p>
      </ActionForm>
    </Dialog>
  )
}

export function ResetSecondFactor({ user, onClose }: Props) {
  const done = () => {
    showToast(`Second factor taken away: ${user.email}`)
    onClose()
  }
  return (
    <Dialog title={`Reset the second factor of ${user.email}`} onClose={onClose}>
      <ActionForm button="Reset" tone="danger" reason="required" act={(reason) => resetSecondFactor(user.user_id, reason)} onDone={done} onClose={onClose}>
        <p>For somebody who has lost both their authenticator app and their recovery codes. Make sure that it is they who ask.</p>
        <p>Signing in takes no code from them any more, until they set up an app again. Their sign-ins stay, and so does their password.</p>
      </ActionForm>
    </Dialog>
  )
}
