import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import type { Summary } from '~/api/types'
import { useMe } from '~/hooks/use-me'
import { AppLink } from '~/ui/AppLink'
import { EmptyState, QueryStates, Skeleton } from '~/ui/states'
import { Value } from '~/ui/Unknown'
import { ms, plural } from '~/util/format'
import { path } from '~/util/path-builder'

const GOOD_MS = 500
const FAIR_MS = 1500

/** Letter beside the colour, so that the grade reads without it. */
function grade(p95: number | null | undefined): { letter: string; tone: string; word: string } {
  if (typeof p95 !== 'number') return { letter: '–', tone: 'none', word: 'not measured' }
  if (p95 <= GOOD_MS) return { letter: 'A', tone: 'good', word: 'fast' }
  return p95 <= FAIR_MS ? { letter: 'B', tone: 'fair', word: 'fair' } : { letter: 'C', tone: 'slow', word: 'slow' }
}

/** Leads to the nodes of the region, except strangers, who see none. */
function Region({ region, tone, children }: { region: string; tone: string; children: ReactNode }) {
  const className = `region region-${tone}`
  if (useMe() === null) return <div className={className}>{children}</div>
  return (
    <AppLink href={path.nodes(region ? { region } : {})} className={className}>
      {children}
    </AppLink>
  )
}

export function RegionPanel({ summary }: { summary: UseQueryResult<Summary> }) {
  // The figures above say that the summary failed; once is enough.
  if (summary.error && !summary.data) return null
  return (
    <section className="panel" aria-labelledby="regions-title">
      <div className="panel-head">
        <h2 id="regions-title">p95 first token by region</h2>
        <p className="muted small">
          A up to {ms(GOOD_MS)}, B up to {ms(FAIR_MS)}, C above
        </p>
      </div>
      <QueryStates query={summary} what="the regions" skeleton={<Skeleton lines={2} />}>
        {({ p95_by_region: regions }) =>
          regions.length === 0 ? (
            <EmptyState title="No region has served a request in 24 hours" />
          ) : (
            <ul className="regions">
              {regions.map(({ region, p95_ms: p95, requests }) => {
                const { letter, tone, word } = grade(p95)
                return (
                  <li key={region}>
                    <Region region={region} tone={tone}>
                      <span className="region-letter" title={word}>
                        {letter}
                      </span>
                      <span className="region-name">{region || 'No region'}</span>
                      <span className="region-value">
                        <Value text={ms(p95)} why="Not measured" />
                      </span>
                      <span className="muted small">{plural(requests, 'request')}</span>
                    </Region>
                  </li>
                )
              })}
            </ul>
          )
        }
      </QueryStates>
    </section>
  )
}
