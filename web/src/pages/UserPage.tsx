import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { type ReactNode, useRef, useState } from 'react'
import { query } from '~/api/queries'
import type { Membership, User } from '~/api/types'
import { AdminsOnly } from '~/components/AdminsOnly'
import { Facts } from '~/components/Facts'
import { AddMembership, ChangeRoles, RemoveMembership } from '~/components/MembershipDialogs'
import { OpenChip } from '~/components/StatusChip'
import { DisableUser, EnableUser, NewLink, ResetSecondFactor } from '~/components/UserDialogs'
import { UserKeys } from '~/components/UserKeys'
import { useFocusAfter } from '~/hooks/use-focus-after'
import { useMe } from '~/hooks/use-me'
import { DataTable } from '~/table/DataTable'
import { membershipColumns } from '~/table/membership-columns'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Icon } from '~/ui/Icon'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { Time } from '~/ui/Time'
import { path } from '~/util/path-builder'

const SKELETON_LINES = 8

/** One person, and what can be done about their account; for admins. */
export function UserPage() {
  return (
    <AdminsOnly title="User" what="the users">
      <Account />
    </AdminsOnly>
  )
}

function Account() {
  const userId = useParams({ strict: false, select: (params: { userId?: string }) => params.userId ?? '' })
  const user = useQuery(query.user(userId))
  return (
    <>
      <AppLink href={path.users()} className="back-link">
        <Icon name="chevronLeft" size={15} /> Users
      </AppLink>
      <PageHeading title={user.data?.email ?? 'User'} />
      <RefreshFailed query={user} what="this user" />
      <QueryStates query={user} what="this user" skeleton={<Skeleton lines={SKELETON_LINES} className="panel" onRetry={() => void user.refetch()} />}>
        {(one) => (
          <>
            <AccountFacts user={one} />
            <Memberships user={one} />
            <UserKeys userId={one.user_id} />
          </>
        )}
      </QueryStates>
    </>
  )
}

type Doing = 'link' | 'reset' | 'disable' | 'enable' | null

function AccountActions({ user }: { user: User }) {
  const [doing, setDoing] = useState<Doing>(null)
  const close = () => setDoing(null)
  const isDisabled = Boolean(user.disabled_at)
  const isOwn = useMe()?.user_id === user.user_id
  const whyNoReset = isOwn ? 'Turn your own off on your account page, where it asks for a code' : user.second_factor_since ? null : 'They have no second factor'
  return (
    <>
      <Button disabledReason={isDisabled ? 'The account is disabled: enable it first' : null} onClick={() => setDoing('link')}>
        New sign-in link…
      </Button>
      <Button disabledReason={whyNoReset} onClick={() => setDoing('reset')}>
        Reset second factor…
      </Button>
      {/* One button, whose word changes: whoever pressed it keeps the focus. */}
      <Button tone={isDisabled ? 'plain' : 'danger'} onClick={() => setDoing(isDisabled ? 'enable' : 'disable')}>
        {isDisabled ? 'Enable…' : 'Disable…'}
      </Button>
      {doing === 'link' && <NewLink user={user} onClose={close} />}
      {doing === 'reset' && <ResetSecondFactor user={user} onClose={close} />}
      {doing === 'disable' && <DisableUser user={user} onClose={close} />}
      {doing === 'enable' && <EnableUser user={user} onClose={close} />}
    </>
  )
}

function AccountFacts({ user }: { user: User }) {
  return (
    <section className="panel" aria-labelledby="account-title">
      <div className="panel-head">
        <h2 id="account-title">Account</h2>
        <div className="panel-tools">
          <AccountActions user={user} />
        </div>
      </div>
      <Facts
        facts={[
          ['State', <OpenChip key="state" shut={user.disabled_at ? 'Disabled' : null} />],
          ...(user.disabled_at ? [['Disabled', <Time key="disabled" at={user.disabled_at} form="full" />] as [string, ReactNode]] : []),
          ['Second factor', user.second_factor_since ? <Since key="factor" at={user.second_factor_since} /> : 'None'],
          ['Last sign-in', <Time key="last" at={user.last_sign_in_at} form="full" why="Never signed in" />],
          ['Created', <Time key="created" at={user.created_at} form="full" />],
          ['Id', <code key="id">{user.user_id}</code>],
          [
            'History',
            <AppLink key="history" href={path.audit({ object: `user:${user.user_id}` })}>
              In the audit log
            </AppLink>,
          ],
        ]}
      />
    </section>
  )
}

function Since({ at }: { at: string }) {
  return (
    <>
      Since <Time at={at} form="full" />
    </>
  )
}

type Change = { kind: 'add' } | { kind: 'roles' | 'remove'; membership: Membership }

function Memberships({ user }: { user: User }) {
  const [change, setChange] = useState<Change | null>(null)
  const close = () => setChange(null)
  const add = useRef<HTMLButtonElement>(null)
  useFocusAfter(change && change.kind, () => add.current)
  const columns = membershipColumns(
    (membership) => setChange({ kind: 'roles', membership }),
    (membership) => setChange({ kind: 'remove', membership }),
  )
  return (
    <section className="panel list-panel memberships-panel" aria-labelledby="memberships-title">
      <div className="panel-head">
        <h2 id="memberships-title">Organisations</h2>
        <Button ref={add} onClick={() => setChange({ kind: 'add' })}>
          Add to an organisation…
        </Button>
      </div>
      {user.memberships.length > 0 ? (
        <DataTable label="Organisations of this user" columns={columns} rows={user.memberships} rowKey={(row) => row.org_id} />
      ) : (
        <EmptyState title="In no organisation">{user.disabled_at ? 'They cannot sign in.' : 'They can sign in, and see what strangers see.'}</EmptyState>
      )}
      {change?.kind === 'add' && <AddMembership user={user} onClose={close} />}
      {change?.kind === 'roles' && <ChangeRoles user={user} membership={change.membership} onClose={close} />}
      {change?.kind === 'remove' && <RemoveMembership user={user} membership={change.membership} onClose={close} />}
    </section>
  )
}
