// What was shown once and is refused now: access ended, or the thing itself is gone. An older answer is not shown then.
import type { Query, QueryClient } from '@tanstack/react-query'
import { readMe } from '~/api/client'
import { isRefusal } from '~/api/errors'
import { session } from '~/stores/session'

/** What shows other organisations' nodes: where one answer is refused, others of these are too old as well. */
const OF_OTHERS = new Set<unknown>(['nodes', 'node', 'pools', 'pool'])
const OF_POOLS = new Set<unknown>(['pools', 'pool'])

/**
 * Takes what a read had answered before off the screen and out of the cache where it is refused now; what it is about is in
 * its key. What stands beside it is read again, and what nobody looks at is forgotten.
 */
export function dropRefused(client: QueryClient, error: unknown, refused: Query<unknown, unknown>): void {
  if (!isRefusal(error) || refused.state.data === undefined) return
  refused.setState({ data: undefined })
  const [kind] = refused.queryKey
  if (!OF_OTHERS.has(kind)) return
  const isBeside = ({ queryKey, queryHash }: { queryKey: readonly unknown[]; queryHash: string }) => OF_OTHERS.has(queryKey[0]) && queryHash !== refused.queryHash
  client.removeQueries({ type: 'inactive', predicate: isBeside })
  void client.invalidateQueries({ predicate: isBeside })
  // Whether this network has private pools is told with who one is.
  if (OF_POOLS.has(kind) && session.get().kind === 'signed-in') readMe().catch(() => {})
}
