import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { ApiError } from '~/api/errors'
import { query } from '~/api/queries'
import type { ReceiptDetail } from '~/api/types'
import { ReceiptView } from '~/components/ReceiptView'
import { useSearchParams } from '~/hooks/use-search'
import { AppLink } from '~/ui/AppLink'
import { Icon } from '~/ui/Icon'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, Skeleton } from '~/ui/states'
import { path } from '~/util/path-builder'

const SKELETON_LINES = 14

export function ReceiptPage() {
  const requestId = useParams({ strict: false, select: (params: { requestId?: string }) => params.requestId ?? '' })
  const [{ node_id: nodeId }] = useSearchParams()
  const receipt = useQuery(query.receipt(requestId, nodeId))
  const isMissing = receipt.error instanceof ApiError && receipt.error.status === 404
  const nodes = nodesOf(receipt.error)
  return (
    <>
      <AppLink href={path.receipts()} className="back-link">
        <Icon name="chevronLeft" size={15} /> Receipts
      </AppLink>
      <PageHeading title={requestId}>{receipt.data && <ChainNav chain={receipt.data.chain} nodeId={receipt.data.receipt.node_id} />}</PageHeading>
      {isMissing ? (
        <section className="panel">
          <EmptyState title="No receipt with this id">It may be newer than what has arrived: an agent that was offline sends its receipts when it is back. Or it is not yours to see.</EmptyState>
        </section>
      ) : nodes.length > 0 ? (
        <section className="panel">
          <EmptyState title="Several nodes used this id">Each of them has a receipt of its own under it. Choose the node.</EmptyState>
          <ul aria-label="Nodes with this id">
            {nodes.map((name) => (
              <li key={name}>
                <AppLink href={path.receipt(requestId, name)} className="mono">
                  {name}
                </AppLink>
              </li>
            ))}
          </ul>
        </section>
      ) : (
        <QueryStates query={receipt} what="this receipt" skeleton={<Skeleton lines={SKELETON_LINES} className="panel" onRetry={() => void receipt.refetch()} />}>
          {(detail) => <ReceiptView key={`${requestId} ${detail.receipt.node_id}`} detail={detail} />}
        </QueryStates>
      )}
    </>
  )
}

/** The nodes that an id without a node stands for. */
function nodesOf(error: unknown): string[] {
  if (!(error instanceof ApiError) || error.status !== 409) return []
  const { nodes } = error.details
  return Array.isArray(nodes) ? nodes.filter((name) => typeof name === 'string') : []
}

function ChainNav({ chain, nodeId }: { chain: ReceiptDetail['chain']; nodeId: string }) {
  const { prev_request_id: prev, next_request_id: next } = chain
  return (
    <nav aria-label="Chain of this node" className="chain-nav">
      {prev ? (
        <AppLink className="button" href={path.receipt(prev, nodeId)}>
          <Icon name="chevronLeft" size={16} /> Before
        </AppLink>
      ) : (
        <span className="button button-off">Before</span>
      )}
      {next ? (
        <AppLink className="button" href={path.receipt(next, nodeId)}>
          After <Icon name="chevronRight" size={16} />
        </AppLink>
      ) : (
        <span className="button button-off">After</span>
      )}
    </nav>
  )
}
