import type { QueryClient } from '@tanstack/react-query'
import { isAnswer } from '~/api/errors'
import { receiptArrivals } from '~/api/receipt-arrivals'

/** What the socket feeds, except for the lists of receipts. */
const KEYS = ['summary', 'nodes', 'node', 'receipt-aggregate', 'tokens']
const RECEIPTS = ['receipts']

/** Frames of a busy node come several times a second. */
const NODE_AFTER_MS = 1_000
const nodesDue = new Set<string>()

/** Reads what is shown of a node again, soon: a row of it changed, and tells neither its chain nor its probes. */
export function readNodeSoon(client: QueryClient, nodeId: string): void {
  const queryKey = ['node', nodeId]
  if (nodesDue.has(nodeId) || !client.getQueryState(queryKey)) return
  nodesDue.add(nodeId)
  setTimeout(() => {
    nodesDue.delete(nodeId)
    // An answer that is on its way is not given up for another: it is read again after it.
    if (client.isFetching({ queryKey, exact: true }) > 0) readNodeSoon(client, nodeId)
    // What nobody sees is read when it is seen.
    else void client.invalidateQueries({ queryKey, exact: true, refetchType: globalThis.document?.hidden ? 'none' : 'active' })
  }, NODE_AFTER_MS)
}

/**
 * Reads again what the socket feeds; what is shown stays until the answer is there.
 *
 * A first answer that is still on its way may have been made before the socket heard anything, and a query without data
 * is not asked a second time while it is under way: it is asked again once that answer is there.
 */
export function readAgain(client: QueryClient): void {
  for (const key of KEYS) {
    for (const query of client.getQueryCache().findAll({ queryKey: [key] })) {
      const again = () => void client.invalidateQueries({ queryKey: query.queryKey, exact: true })
      if (query.state.data === undefined && query.state.fetchStatus !== 'idle') query.promise?.then(again, () => {})
      else again()
    }
  }
  // A list of receipts that is shown reads for itself, because no row may move under a hand.
  void client.invalidateQueries({ queryKey: RECEIPTS, refetchType: 'none' })
  receiptArrivals.missed()
}

/** Asks once more for all that is shown as failed: the server was away, and is back. What it answered, it would answer again. */
export function readFailedAgain(client: QueryClient): void {
  void client.refetchQueries({ type: 'active', predicate: ({ state }) => state.status === 'error' && !isAnswer(state.error) })
}
