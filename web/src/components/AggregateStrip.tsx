import { useQuery } from '@tanstack/react-query'
import { query } from '~/api/queries'
import type { ReceiptAggregate } from '~/api/types'
import { Time } from '~/ui/Time'
import { ErrorCard } from '~/ui/states'
import { Value } from '~/ui/Unknown'
import { compact, count, ms, percent } from '~/util/format'
import type { Search } from '~/util/path-builder'
import { lackingText, tokenSum } from '~/util/tokens'

type Figure = [name: string, text: (sum: ReceiptAggregate) => string, exact?: (sum: ReceiptAggregate) => string]

/** A number of a sum that is not complete is the least that it can be, and is not rounded up. */
function least({ complete }: ReceiptAggregate, number: number | null): string {
  return complete || number === null ? compact(number) : `≥ ${count(number)}`
}

const FIGURES: Figure[] = [
  ['Receipts', (sum) => least(sum, sum.count), (sum) => count(sum.count)],
  ['Tokens in', (sum) => least(sum, tokenSum(sum.tokens_input, sum.tokens_not_counted)), (sum) => count(sum.tokens_input)],
  ['Tokens out', (sum) => least(sum, tokenSum(sum.tokens_output, sum.tokens_not_counted)), (sum) => count(sum.tokens_output)],
  ['Cache hits', (sum) => percent(sum.cache_hit_share)],
  ['Failures', (sum) => least(sum, sum.failures), (sum) => count(sum.failures)],
  ['p50 first token', (sum) => ms(sum.p50_ms)],
  ['p95 first token', (sum) => ms(sum.p95_ms)],
]

/** The totals of exactly what the list below is filtered to. */
export function AggregateStrip({ filter }: { filter: Search }) {
  const sum = useQuery(query.receiptAggregate(filter))
  if (sum.error && !sum.data) return <ErrorCard what="the totals" error={sum.error} onRetry={() => void sum.refetch()} />
  return (
    <section aria-label="Totals" className="totals">
      <dl className="strip" aria-busy={sum.isPlaceholderData || undefined}>
        {FIGURES.map(([name, text, exact]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{sum.data ? <Value text={text(sum.data)} title={exact?.(sum.data)} why="No measurement: times are those of answers that came whole" /> : <span className="skeleton-line skeleton-figure" />}</dd>
          </div>
        ))}
      </dl>
      <p className="strip-note muted small">
        {sum.data && (
          <>
            {sum.data.complete ? 'Counts everything received up to' : 'Not all that match are in these figures: too many do, or some are no longer kept. Counted up to'} <Time at={sum.data.indexed_to} />
            {sum.data.tokens_not_counted > 0 && `. The token sums are too low: ${lackingText(sum.data.tokens_not_counted)}.`}
          </>
        )}
      </p>
    </section>
  )
}
