import { useQuery } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { useState } from 'react'
import { query } from '~/api/queries'
import type { Me } from '~/api/types'
import { MakePool } from '~/components/PoolDialogs'
import { PoolsOnly } from '~/components/PoolsOnly'
import { useMe } from '~/hooks/use-me'
import { useOthers } from '~/hooks/use-others'
import { useSearchParams } from '~/hooks/use-search'
import { hasRole } from '~/stores/session'
import { DataTable } from '~/table/DataTable'
import { FilterChips, FilteredEmpty } from '~/table/FilterChips'
import { Pager } from '~/table/Pager'
import { SearchBox } from '~/table/SearchBox'
import { poolColumns } from '~/table/pool-columns'
import { Button } from '~/ui/Button'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { poolFilters } from '~/util/filters'
import { path } from '~/util/path-builder'

const SKELETON_ROWS = 6

/** Nodes that organisations keep to themselves and to those that are admitted. */
export function PoolsPage() {
  return (
    <PoolsOnly>
      <PoolList />
    </PoolsOnly>
  )
}

const emptyText = (me: Me | null) =>
  hasRole(me, 'admin') ? 'Make one to keep nodes of an organisation to itself.' : me?.org_id ? 'Your organisation has none, and none admits it.' : 'You act for no organisation: pools are shown to organisations.'

function PoolList() {
  const [search, change] = useSearchParams()
  const router = useRouter()
  const me = useMe()
  const isAdmin = hasRole(me, 'admin')
  const filters = poolFilters(search)
  const pools = useQuery(query.pools(filters.request))
  useOthers(pools, pools.data !== undefined)
  const [isMaking, setMaking] = useState(false)
  return (
    <>
      <PageHeading title="Private pools" lead="Nodes in a pool are seen by their own organisation and by those that the pool admits.">
        {isAdmin && (
          <Button tone="primary" onClick={() => setMaking(true)}>
            Make a pool…
          </Button>
        )}
      </PageHeading>
      <div className="panel list-panel">
        <div className="filter-bar">
          <SearchBox label="Search pools" placeholder="Search by name" value={filters.active.q ?? ''} onChange={(q) => change({ q, cursor: undefined }, 'replace')} />
        </div>
        <FilterChips active={filters.active} ignored={filters.ignored} onChange={change} />
        <RefreshFailed query={pools} what="the pools" />
        <QueryStates query={pools} what="the pools" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-rows" onRetry={() => void pools.refetch()} />}>
          {(page) =>
            page.items.length > 0 ? (
              <>
                <DataTable label="Private pools" columns={poolColumns()} rows={page.items} rowKey={(row) => row.pool_id} isRefreshing={pools.isPlaceholderData} />
                <Pager shown={page.items.length} total={null} nextCursor={page.next_cursor} search={search} noun="pool" />
              </>
            ) : Object.keys(filters.active).length > 0 ? (
              <FilteredEmpty noun="pools" active={filters.active} onChange={change} />
            ) : (
              <EmptyState title="No private pools">{emptyText(me)}</EmptyState>
            )
          }
        </QueryStates>
      </div>
      {isMaking && <MakePool onClose={() => setMaking(false)} onMade={(pool) => void router.navigate({ href: path.pool(pool.pool_id) })} />}
    </>
  )
}
