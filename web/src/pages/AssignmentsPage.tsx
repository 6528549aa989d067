import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { query } from '~/api/queries'
import type { AssignedNode } from '~/api/types'
import { AdminsOnly } from '~/components/AdminsOnly'
import { AssignPerson } from '~/components/AssignDialogs'
import { AssigneeField } from '~/forms/AssigneeField'
import { useFocusAfter } from '~/hooks/use-focus-after'
import { useSearchParams } from '~/hooks/use-search'
import { DataTable } from '~/table/DataTable'
import { FilterChips, FilteredEmpty } from '~/table/FilterChips'
import { Pager } from '~/table/Pager'
import { SearchBox } from '~/table/SearchBox'
import { assignmentColumns } from '~/table/assignment-columns'
import { AppLink } from '~/ui/AppLink'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { assignmentFilters, describeFilter } from '~/util/filters'
import { path } from '~/util/path-builder'

const SKELETON_ROWS = 10

/** Which node is taken care of by whom; for admins. */
export function AssignmentsPage() {
  return (
    <AdminsOnly title="Assignments" what="the assignments">
      <AssignmentList />
    </AdminsOnly>
  )
}

function AssignmentList() {
  const [search, change] = useSearchParams()
  const filters = assignmentFilters(search)
  const nodes = useQuery(query.assignments(filters.request))
  const [assigning, setAssigning] = useState<AssignedNode | null>(null)
  useFocusAfter(assigning && assigning.node_id, (nodeId) => document.querySelector<HTMLElement>(`[data-assign="${CSS.escape(nodeId)}"]`))
  const people = nodes.data?.items.flatMap((row) => row.assignees) ?? []
  // A person has an address for people; their id is what the URL has.
  const nameOf = (userId: string) => people.find((one) => one.user_id === userId)?.email ?? userId
  const describe = (key: string, value: string) => describeFilter(key, key === 'assignee' ? nameOf(value) : value)
  return (
    <>
      <PageHeading title="Assignments" lead="Who takes care of which node. It names somebody to ask, and gives no rights: these come from roles." />
      <div className="panel list-panel">
        <div className="filter-bar">
          <SearchBox label="Search nodes" placeholder="Search by node id" value={filters.active.q ?? ''} onChange={(q) => change({ q, cursor: undefined }, 'replace')} />
          <AssigneeField value={filters.active.assignee} nameOf={nameOf} onChange={(assignee) => change({ assignee, cursor: undefined })} />
        </div>
        <FilterChips active={filters.active} ignored={filters.ignored} onChange={change} describe={describe} />
        <RefreshFailed query={nodes} what="the assignments" />
        <QueryStates query={nodes} what="the assignments" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-table" onRetry={() => void nodes.refetch()} />}>
          {(page) =>
            page.items.length > 0 ? (
              <>
                <DataTable label="Assignments" columns={assignmentColumns(setAssigning)} rows={page.items} rowKey={(row) => row.node_id} isRefreshing={nodes.isPlaceholderData} />
                <Pager shown={page.items.length} total={null} nextCursor={page.next_cursor} search={search} noun="node" />
              </>
            ) : Object.keys(filters.active).length > 0 ? (
              <FilteredEmpty noun="nodes" active={filters.active} onChange={change} describe={describe} />
            ) : !search.cursor ? (
              <EmptyState title="No nodes yet">Each node of the network is listed here.</EmptyState>
            ) : (
              <EmptyState title="No nodes on this page" action={<AppLink className="button" href={path.assignments()}>To the first page</AppLink>} />
            )
          }
        </QueryStates>
      </div>
      {assigning && <AssignPerson node={assigning} onClose={() => setAssigning(null)} />}
    </>
  )
}
