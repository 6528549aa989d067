import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import type { Summary, Trends } from '~/api/types'
import { StatusBar } from '~/components/StatusBar'
import { useMe } from '~/hooks/use-me'
import { seesReceipts } from '~/stores/session'
import { AppLink } from '~/ui/AppLink'
import { Sparkline } from '~/ui/Sparkline'
import { ErrorCard } from '~/ui/states'
import { Unknown, Value } from '~/ui/Unknown'
import { compact, count, ms, percent, plural, signedPercent } from '~/util/format'
import { path } from '~/util/path-builder'
import { lackingText, tokenSum } from '~/util/tokens'
import { hourlyChange } from '~/util/trend'

interface Props {
  summary: UseQueryResult<Summary>
  trends: UseQueryResult<Trends>
}

interface Card {
  title: string
  /** `start` is that of the day that the figures are of, once it is known. */
  href: (start: string | undefined) => string
  isOfReceipts?: true
  value: (summary: Summary) => ReactNode
  note: (summary: Summary) => ReactNode
  series?: keyof Trends['series']
  kind?: 'sum' | 'mean'
  /** Which direction is welcome; a delta without one is neither good nor bad. */
  isBetterWhen?: 'lower'
}

const CARDS: Card[] = [
  {
    title: 'Active nodes',
    href: () => path.nodes({ status: 'active' }),
    value: (summary) => count(summary.active_nodes),
    note: (summary) => `${plural(summary.models_cached, 'model')} cached`,
  },
  {
    title: 'p95 first token',
    href: () => path.nodes({ sort: '-p95' }),
    value: (summary) => <Value text={ms(summary.p95_global)} why="No measurement in 24 h" />,
    note: () => '24 hours, all regions',
    series: 'p95_ms',
    kind: 'mean',
    isBetterWhen: 'lower',
  },
  {
    title: 'Requests, 24 h',
    href: (start) => path.receipts({ from: start }),
    isOfReceipts: true,
    value: (summary) => <span title={count(summary.requests_24h)}>{compact(summary.requests_24h)}</span>,
    note: (summary) => (typeof summary.error_rate === 'number' ? `${percent(summary.error_rate)} failed` : 'No errors measured'),
    series: 'requests',
    kind: 'sum',
  },
  {
    title: 'Tokens, 24 h',
    href: (start) => path.receipts({ from: start }),
    isOfReceipts: true,
    value: ({ tokens_24h: { input, output, not_counted: lacking } }) => <Value text={compact(tokenSum(input + output, lacking))} title={count(input + output)} why="Not counted" />,
    note: ({ tokens_24h: { input, output, not_counted: lacking } }) =>
      [`${compact(tokenSum(input, lacking))} in, ${compact(tokenSum(output, lacking))} out`, lackingText(lacking)].filter(Boolean).join('; '),
    series: 'tokens',
    kind: 'sum',
  },
]

export function KpiCards({ summary, trends }: Props) {
  if (summary.error && !summary.data) {
    return (
      <section className="panel kpis-failed" aria-label="Figures">
        <ErrorCard what="the figures" error={summary.error} onRetry={() => void summary.refetch()} />
      </section>
    )
  }
  return (
    <ul className="kpis" aria-label="Figures">
      {CARDS.map((card) => (
        <li key={card.title} className="panel kpi">
          {summary.data ? <KpiBody card={card} summary={summary.data} trends={trends} /> : <KpiWaiting title={card.title} />}
        </li>
      ))}
    </ul>
  )
}

function KpiWaiting({ title }: { title: string }) {
  return (
    <>
      <h2>{title}</h2>
      <span className="skeleton-line skeleton-value" />
      <span className="skeleton-line skeleton-chart" />
    </>
  )
}

function KpiBody({ card, summary, trends }: { card: Card; summary: Summary; trends: UseQueryResult<Trends> }) {
  const series = card.series && trends.data?.series[card.series]
  const me = useMe()
  // Nobody is led to what they may not see: a stranger to none of it.
  const isLed = me !== null && (!card.isOfReceipts || seesReceipts(me))
  return (
    <>
      <h2>
        {isLed ? (
          <AppLink href={card.href(trends.data?.start)} className="kpi-link">
            {card.title}
          </AppLink>
        ) : (
          card.title
        )}
      </h2>
      <p className="kpi-value">{card.value(summary)}</p>
      <p className="kpi-note">
        <span className="muted">{card.note(summary)}</span>
        {series && card.kind && <Delta share={hourlyChange(series, card.kind)} isBetterWhen={card.isBetterWhen} />}
      </p>
      {card.series ? (
        series ? (
          <Sparkline values={series} label={`${card.title}: course of the last 24 hours`} />
        ) : (
          <span className="kpi-no-chart">{trends.error ? <span className="muted small">Course not available</span> : <span className="skeleton-line skeleton-chart" />}</span>
        )
      ) : (
        <StatusBar nodes={summary.nodes} />
      )}
    </>
  )
}

/** Below two percent an hour is as the one before. */
const FLAT = 0.02

function Delta({ share, isBetterWhen }: { share: number | null; isBetterWhen: 'lower' | undefined }) {
  if (share === null) return <Unknown why="Nothing to compare with in the hour before" />
  const isFlat = Math.abs(share) < FLAT
  const tone = isFlat || !isBetterWhen ? 'muted' : share < 0 ? 'good' : 'bad'
  return (
    <span className={`delta delta-${tone}`} title="Last full hour against the hour before">
      {signedPercent(share)} <span className="muted">last hour</span>
    </span>
  )
}
