import { useQuery } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { useState } from 'react'
import { query } from '~/api/queries'
import type { Organisation, User } from '~/api/types'
import { AdminsOnly } from '~/components/AdminsOnly'
import { InviteUser } from '~/components/UserDialogs'
import { useSearchParams } from '~/hooks/use-search'
import { DataTable } from '~/table/DataTable'
import { FilterChips, FilteredEmpty } from '~/table/FilterChips'
import { Pager } from '~/table/Pager'
import { SearchBox } from '~/table/SearchBox'
import { userColumns } from '~/table/user-columns'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { SelectField } from '~/ui/Field'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { describeFilter, userFilters } from '~/util/filters'
import { path, type Search } from '~/util/path-builder'
import { MAIN_ORG } from '~/util/people'

const SKELETON_ROWS = 12

/** The people of the network; for admins. */
export function UsersPage() {
  return (
    <AdminsOnly title="Users" what="the users">
      <UserList />
    </AdminsOnly>
  )
}

function UserList() {
  const router = useRouter()
  const [search, change] = useSearchParams()
  const filters = userFilters(search)
  const users = useQuery(query.users(filters.request))
  const orgs = useQuery(query.allOrgs())
  const [isInviting, setInviting] = useState(false)
  const wanted = filters.active.org_id
  const org = orgs.data?.find((one) => one.org_id === wanted)
  // An organisation has a name for people; its id is what the address has.
  const describe = (key: string, value: string) => describeFilter(key, key === 'org_id' ? (org?.name ?? value) : value)
  const open = (row: User) => void router.navigate({ href: path.user(row.user_id) })
  return (
    <>
      <PageHeading title="Users" lead="Everybody who has an account, and what they may do for which organisation.">
        <Button tone="primary" onClick={() => setInviting(true)}>
          Invite a user…
        </Button>
      </PageHeading>
      <div className="panel list-panel">
        <FilterBar active={filters.active} orgs={orgs.data ?? []} onChange={change} />
        <FilterChips active={filters.active} ignored={filters.ignored} onChange={change} describe={describe} />
        <RefreshFailed query={users} what="the users" />
        <QueryStates query={users} what="the users" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-table" onRetry={() => void users.refetch()} />}>
          {(page) =>
            page.items.length > 0 ? (
              <>
                <DataTable label="Users" columns={userColumns()} rows={page.items} rowKey={(row) => row.user_id} onOpen={open} isRefreshing={users.isPlaceholderData} />
                <Pager shown={page.items.length} total={null} nextCursor={page.next_cursor} search={search} noun="user" />
              </>
            ) : Object.keys(filters.active).length > 0 ? (
              <FilteredEmpty noun="users" active={filters.active} onChange={change} describe={describe} />
            ) : (
              <EmptyState title="No users on this page" action={<AppLink className="button" href={path.users()}>To the first page</AppLink>} />
            )
          }
        </QueryStates>
      </div>
      {isInviting && <InviteUser orgId={org && !org.closed_at ? org.org_id : MAIN_ORG} onClose={() => setInviting(false)} />}
    </>
  )
}

interface FilterBarProps {
  active: Search
  orgs: Organisation[]
  onChange: (change: Search, how?: 'push' | 'replace') => void
}

function FilterBar({ active, orgs, onChange }: FilterBarProps) {
  const { org_id: wanted } = active
  const options = orgs.toSorted((a, b) => a.name.localeCompare(b.name)).map((one) => [one.org_id, one.closed_at ? `${one.name} (closed)` : one.name] as const)
  // One that is not on the list, or not yet, is still what the address says.
  const isUnlisted = wanted !== undefined && !options.some(([id]) => id === wanted)
  return (
    <div className="filter-bar">
      <SearchBox
        label="Search the users"
        title="A part of the e-mail address"
        placeholder="E-mail"
        value={active.q ?? ''}
        onChange={(q) => onChange({ q, cursor: undefined }, 'replace')}
      />
      <SelectField
        label="Organisation"
        isLabelHidden
        value={wanted ?? ''}
        onChange={(orgId) => onChange({ org_id: orgId || undefined, cursor: undefined })}
        options={[['', 'All organisations'], ...(isUnlisted ? [[wanted, wanted] as const] : []), ...options]}
      />
    </div>
  )
}
