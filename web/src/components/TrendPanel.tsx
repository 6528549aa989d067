import type { UseQueryResult } from '@tanstack/react-query'
import { Suspense, lazy } from 'react'
import type { Trends } from '~/api/types'
import { TrendTable } from '~/components/TrendTable'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { chunk } from '~/util/chunk'
import { count, ms } from '~/util/format'
import { zoneName } from '~/util/time'

const TrendChart = lazy(() => chunk(() => import('~/components/TrendChart')).then((module) => ({ default: module.TrendChart })))

export interface ChartSpec {
  title: string
  series: { key: keyof Trends['series']; name: string; tone: 'primary' | 'accent' | 'amber' }[]
  text: (value: number | null) => string
}

export const CHARTS: ChartSpec[] = [
  { title: 'Requests', series: [{ key: 'requests', name: 'requests', tone: 'primary' }], text: count },
  { title: 'Tokens', series: [{ key: 'tokens', name: 'tokens', tone: 'accent' }], text: count },
  {
    title: 'Time to first token',
    series: [
      { key: 'p50_ms', name: 'p50', tone: 'accent' },
      { key: 'p95_ms', name: 'p95', tone: 'primary' },
    ],
    text: ms,
  },
  { title: 'Errors', series: [{ key: 'errors', name: 'errors', tone: 'amber' }], text: count },
]

const isEmpty = ({ series }: Trends) => series.requests.every((value) => !value) && series.p95_ms.every((value) => value === null)

export function TrendPanel({ trends }: { trends: UseQueryResult<Trends> }) {
  return (
    <section className="panel" aria-labelledby="trends-title">
      <div className="panel-head">
        <h2 id="trends-title">Last 24 hours</h2>
        <p className="muted small">Quarter hours, times in {zoneName()}</p>
      </div>
      <RefreshFailed query={trends} what="the course" />
      <QueryStates query={trends} what="the last 24 hours" skeleton={<Skeleton lines={4} className="skeleton-trends" />}>
        {(data) =>
          isEmpty(data) ? (
            <EmptyState title="Nothing was served in the last 24 hours">The first request through a node's proxy starts the lines here.</EmptyState>
          ) : (
            <>
              <div className="trends">
                {CHARTS.map((spec) => (
                  <figure key={spec.title} className="trend" aria-label={`${spec.title}, last 24 hours; the same as a table below`}>
                    <figcaption>
                      <h3>{spec.title}</h3>
                      {spec.series.length > 1 && (
                        <span className="legend">
                          {spec.series.map(({ name, tone }) => (
                            <span key={name} className={`legend-${tone}`}>
                              {name}
                            </span>
                          ))}
                        </span>
                      )}
                    </figcaption>
                    <div className="chart-box">
                      <Suspense fallback={null}>
                        <TrendChart spec={spec} trends={data} />
                      </Suspense>
                    </div>
                  </figure>
                ))}
              </div>
              <TrendTable trends={data} />
            </>
          )
        }
      </QueryStates>
    </section>
  )
}
