import { Unknown } from '~/ui/Unknown'
import { count } from '~/util/format'
import { type Counted, countKind, sourceSentence } from '~/util/tokens'

/** Prompt or generated tokens of a receipt. A count that nobody knows is the dash, never 0. */
export function TokenCount({ row, side }: { row: Counted; side: 'input' | 'output' }) {
  const kind = countKind(row, side)
  if (kind === 'unknown') return <Unknown why="Not counted" />
  const why = sourceSentence(row.tokens_source) ?? undefined
  if (kind === 'unpaid')
    return (
      <span className="muted" title={why}>
        unpaid
      </span>
    )
  const tokens = count(side === 'input' ? row.tokens_input : row.tokens_output)
  if (kind === 'number') return <span title={why}>{tokens}</span>
  return (
    <span title={why}>
      <span aria-hidden="true">≈ </span>
      <span className="sr-only">about </span>
      {tokens}
    </span>
  )
}
