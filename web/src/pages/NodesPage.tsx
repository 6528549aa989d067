import { useQuery } from '@tanstack/react-query'
import { Outlet, useParams, useRouter, useRouterState } from '@tanstack/react-router'
import { query } from '~/api/queries'
import type { NodeRow } from '~/api/types'
import { NodeFilterBar } from '~/components/NodeFilterBar'
import { useMe } from '~/hooks/use-me'
import { useOthers } from '~/hooks/use-others'
import { useSearchParams } from '~/hooks/use-search'
import { hasRole } from '~/stores/session'
import { DataTable } from '~/table/DataTable'
import { FilterChips, FilteredEmpty } from '~/table/FilterChips'
import { Pager } from '~/table/Pager'
import { nodeColumns } from '~/table/node-columns'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { describeFilter, nodeFilters } from '~/util/filters'
import { path } from '~/util/path-builder'

const SKELETON_ROWS = 10

/** The list, with a node as a drawer over it; a node opened by its address has the page to itself. */
export function NodesPage() {
  const nodeId = useParams({ strict: false, select: (params: { nodeId?: string }) => params.nodeId })
  const isDrawer = useRouterState({ select: ({ location }) => (location.state as { drawer?: boolean }).drawer === true })
  if (nodeId !== undefined && !isDrawer) return <Outlet />
  return (
    <>
      <NodeList selected={nodeId} />
      {nodeId !== undefined && <Outlet />}
    </>
  )
}

function NodeList({ selected }: { selected: string | undefined }) {
  const router = useRouter()
  const [search, change] = useSearchParams()
  const filters = nodeFilters(search)
  const nodes = useQuery(query.nodes(filters.request))
  useOthers(nodes, nodes.data?.items.some((row) => row.withheld) ?? false)
  const me = useMe()
  const canEnrol = hasRole(me, 'admin', 'operator')
  const isOwn = filters.active.owner === 'self'
  const isOwnAlone = isOwn && Object.keys(filters.active).length === 1
  const { tab: _, ...listSearch } = search
  // A pool has a name for people; its id is what the URL has. Who may not see it any more is not told it either.
  const pool = useQuery({ ...query.pool(filters.active.pool ?? ''), enabled: filters.active.pool !== undefined && me?.private_pools === true })
  useOthers(pool, pool.data !== undefined)
  const describe = (key: string, value: string) => describeFilter(key, key === 'pool' ? (pool.data?.name ?? value) : value)
  const hrefOf = (row: NodeRow) => path.node(row.node_id, listSearch)
  const open = (row: NodeRow) => void router.navigate({ href: hrefOf(row), state: { drawer: true } as object, resetScroll: false })
  return (
    <>
      <PageHeading title="Nodes" lead={isOwn && me?.org_id ? "Your organisation's machines, what they serve and how they are." : 'Every enrolled machine, what it serves and how it is.'}>
        {canEnrol && (
          <AppLink className="button button-primary" href={path.run()}>
            Run a node
          </AppLink>
        )}
      </PageHeading>
      <div className="panel list-panel">
        <NodeFilterBar active={filters.active} onChange={change} />
        <FilterChips active={filters.active} ignored={filters.ignored} onChange={change} describe={describe} />
        <RefreshFailed query={nodes} what="the nodes" />
        <QueryStates query={nodes} what="the nodes" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-table" onRetry={() => void nodes.refetch()} />}>
          {(page) =>
            page.items.length > 0 ? (
              <>
                <DataTable
                  label="Nodes"
                  columns={nodeColumns(hrefOf)}
                  rows={page.items}
                  rowKey={(row) => row.node_id}
                  sort={filters.request.sort}
                  onSort={(sort) => change({ sort, cursor: undefined })}
                  onOpen={open}
                  selectedKey={selected}
                  isRefreshing={nodes.isPlaceholderData}
                />
                <Pager shown={page.items.length} total={page.total} nextCursor={page.next_cursor} search={listSearch} noun="node" />
              </>
            ) : isOwn && !me?.org_id ? (
              <EmptyState title="You act for no organisation, so no nodes are yours" action={<Button onClick={() => change({ owner: undefined, cursor: undefined })}>Show all nodes</Button>} />
            ) : isOwnAlone ? (
              <EmptyState
                title="Your organisation has no nodes yet"
                action={
                  <>
                    {canEnrol && <AppLink className="button button-primary" href={path.run()}>Run the first one</AppLink>}
                    <Button onClick={() => change({ owner: undefined, cursor: undefined })}>Show all nodes</Button>
                  </>
                }
              >
                A node is a machine with an LLM runtime and the DGON agent beside it.
              </EmptyState>
            ) : Object.keys(filters.active).length > 0 ? (
              <FilteredEmpty noun="nodes" active={filters.active} onChange={change} describe={describe} />
            ) : (
              <EmptyState title="No nodes yet" action={canEnrol && <AppLink className="button button-primary" href={path.run()}>Run the first one</AppLink>}>
                A node is a machine with an LLM runtime and the DGON agent beside it.
              </EmptyState>
            )
          }
        </QueryStates>
      </div>
    </>
  )
}
