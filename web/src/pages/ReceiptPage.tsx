import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { ApiError } from '~/api/errors'
import { query } from '~/api/queries'
import type { ReceiptDetail } from '~/api/types'
import { ReceiptView } from '~/components/ReceiptView'
import { AppLink } from '~/ui/AppLink'
import { Icon } from '~/ui/Icon'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, Skeleton } from '~/ui/states'
import { path } from '~/util/path-builder'

const SKELETON_LINES = 14

export function ReceiptPage() {
  const requestId = useParams({ strict: false, select: (params: { requestId?: string }) => params.requestId ?? '' })
  const receipt = useQuery(query.receipt(requestId))
  const isMissing = receipt.error instanceof ApiError && receipt.error.status === 404
  return (
    <>
      <AppLink href={path.receipts()} className="back-link">
        <Icon name="chevronLeft" size={15} /> Receipts
      </AppLink>
      <PageHeading title={requestId}>{receipt.data && <ChainNav chain={receipt.data.chain} />}</PageHeading>
      {isMissing ? (
        <section className="panel">
          <EmptyState title="No receipt with this id">It may be newer than what has arrived: an agent that was offline sends its receipts when it is back. Or it is not yours to see.</EmptyState>
        </section>
      ) : (
        <QueryStates query={receipt} what="this receipt" skeleton={<Skeleton lines={SKELETON_LINES} className="panel" onRetry={() => void receipt.refetch()} />}>
          {(detail) => <ReceiptView key={requestId} detail={detail} />}
        </QueryStates>
      )}
    </>
  )
}

function ChainNav({ chain }: { chain: ReceiptDetail['chain'] }) {
  const { prev_request_id: prev, next_request_id: next } = chain
  return (
    <nav aria-label="Chain of this node" className="chain-nav">
      {prev ? (
        <AppLink className="button" href={path.receipt(prev)}>
          <Icon name="chevronLeft" size={16} /> Before
        </AppLink>
      ) : (
        <span className="button button-off">Before</span>
      )}
      {next ? (
        <AppLink className="button" href={path.receipt(next)}>
          After <Icon name="chevronRight" size={16} />
        </AppLink>
      ) : (
        <span className="button button-off">After</span>
      )}
    </nav>
  )
}
