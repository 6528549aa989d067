import { useQuery } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { query } from '~/api/queries'
import { receiptName } from '~/api/receipts'
import type { ReceiptRow } from '~/api/types'
import { AggregateStrip } from '~/components/AggregateStrip'
import { ReceiptFilterBar, noteOnQuery } from '~/components/ReceiptFilterBar'
import { useLiveReceipts } from '~/hooks/use-live-receipts'
import { useMe } from '~/hooks/use-me'
import { useSearchParams } from '~/hooks/use-search'
import { seesReceipts } from '~/stores/session'
import { DataTable } from '~/table/DataTable'
import { FilterChips, FilteredEmpty } from '~/table/FilterChips'
import { Pager } from '~/table/Pager'
import { receiptColumns } from '~/table/receipt-columns'
import { Button } from '~/ui/Button'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { plural } from '~/util/format'
import { receiptFilters } from '~/util/filters'
import { path } from '~/util/path-builder'

const SKELETON_ROWS = 12
const COLUMNS = receiptColumns()

/** The list and its sums; for who may see none, a word on it and no request. */
export function ReceiptsPage() {
  if (seesReceipts(useMe())) return <ReceiptList />
  return (
    <>
      <PageHeading title="Receipts" />
      <section className="panel">
        <EmptyState title="Your account may not see receipts">They are shown to the operators of the nodes that made them. An admin can give you that role.</EmptyState>
      </section>
    </>
  )
}

function ReceiptList() {
  const router = useRouter()
  const [search, change] = useSearchParams()
  const filters = receiptFilters(search)
  const isFiltered = Object.keys(filters.active).length > 0
  const receipts = useQuery(query.receipts(filters.request))
  const sum = useQuery(query.receiptAggregate(filters.active))
  const { heldCount, apply, onPointer } = useLiveReceipts(filters.request, isFiltered)
  const open = (row: ReceiptRow) => void router.navigate({ href: path.receipt(row.request_id, row.node_id) })
  return (
    <>
      <PageHeading title="Receipts" lead="One signed record per request. Open any of them and check it yourself." />
      <AggregateStrip filter={filters.active} />
      <div className="panel list-panel">
        <ReceiptFilterBar active={filters.active} onChange={change} />
        <FilterChips active={filters.active} ignored={filters.ignored} onChange={change} />
        <RefreshFailed query={receipts} what="the receipts" />
        {heldCount > 0 && (
          <div className="held" role="status">
            <Button tone="quiet" icon="up" onClick={apply}>
              {plural(heldCount, 'new receipt')}, show
            </Button>
          </div>
        )}
        <QueryStates query={receipts} what="the receipts" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-table" onRetry={() => void receipts.refetch()} />}>
          {(page) =>
            page.items.length > 0 ? (
              <>
                <DataTable label="Receipts" columns={COLUMNS} rows={page.items} rowKey={receiptName} onOpen={open} onPointer={onPointer} isRefreshing={receipts.isPlaceholderData} />
                <Pager shown={page.items.length} total={page.total} nextCursor={page.next_cursor} search={search} noun="receipt" />
              </>
            ) : isFiltered ? (
              <FilteredEmpty noun="receipts" active={filters.active} onChange={change}>
                {filters.active.q && sum.data?.complete === false && !sum.isPlaceholderData && 'More ids begin so than were looked through, and none of those has the rest: type more of the id. '}
                {noteOnQuery(filters.active.q ?? '')?.startsWith('Reads as') && 'It may be newer than what is indexed: an agent that was offline sends its receipts when it is back.'}
              </FilteredEmpty>
            ) : (
              <EmptyState title="No receipts yet">The first request through a node's proxy makes the first one. It appears here within two seconds of its end.</EmptyState>
            )
          }
        </QueryStates>
      </div>
    </>
  )
}
