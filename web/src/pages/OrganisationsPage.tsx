import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { query } from '~/api/queries'
import type { Organisation } from '~/api/types'
import { AdminsOnly } from '~/components/AdminsOnly'
import { CloseOrg, MakeOrg, RenameOrg } from '~/components/OrgDialogs'
import { useFocusAfter } from '~/hooks/use-focus-after'
import { useSearchParams } from '~/hooks/use-search'
import { DataTable } from '~/table/DataTable'
import { FilterChips } from '~/table/FilterChips'
import { Pager } from '~/table/Pager'
import { orgColumns } from '~/table/org-columns'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { orgFilters } from '~/util/filters'
import { path } from '~/util/path-builder'

const SKELETON_ROWS = 6

type Doing = { kind: 'make' } | { kind: 'rename' | 'close'; org: Organisation }

/** To whom nodes and people belong; for admins. */
export function OrganisationsPage() {
  return (
    <AdminsOnly title="Organisations" what="the organisations">
      <OrganisationList />
    </AdminsOnly>
  )
}

function OrganisationList() {
  const [search, change] = useSearchParams()
  const filters = orgFilters(search)
  const orgs = useQuery(query.orgs(filters.request))
  const [doing, setDoing] = useState<Doing | null>(null)
  const close = () => setDoing(null)
  // One that was closed has no buttons any more; its name stays.
  useFocusAfter(doing && (doing.kind === 'make' ? '' : doing.org.org_id), (orgId) => document.querySelector<HTMLElement>(`[data-row-link="${CSS.escape(orgId)}"]`))
  const columns = orgColumns(
    (org) => setDoing({ kind: 'rename', org }),
    (org) => setDoing({ kind: 'close', org }),
  )
  return (
    <>
      <PageHeading title="Organisations" lead="Each has its own nodes, receipts and people. Operators see the nodes and receipts of theirs alone.">
        <Button tone="primary" onClick={() => setDoing({ kind: 'make' })}>
          Make an organisation…
        </Button>
      </PageHeading>
      <div className="panel list-panel">
        <FilterChips active={filters.active} ignored={filters.ignored} onChange={change} />
        <RefreshFailed query={orgs} what="the organisations" />
        <QueryStates query={orgs} what="the organisations" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-rows" onRetry={() => void orgs.refetch()} />}>
          {(page) =>
            page.items.length > 0 ? (
              <>
                <DataTable label="Organisations" columns={columns} rows={page.items} rowKey={(row) => row.org_id} isRefreshing={orgs.isPlaceholderData} />
                <Pager shown={page.items.length} total={null} nextCursor={page.next_cursor} search={search} noun="organisation" />
              </>
            ) : (
              <EmptyState title="No organisations on this page" action={<AppLink className="button" href={path.organisations()}>To the first page</AppLink>} />
            )
          }
        </QueryStates>
      </div>
      {doing?.kind === 'make' && <MakeOrg onClose={close} />}
      {doing?.kind === 'rename' && <RenameOrg org={doing.org} onClose={close} />}
      {doing?.kind === 'close' && <CloseOrg org={doing.org} onClose={close} />}
    </>
  )
}
