import { useState } from 'react'
import type { Trends } from '~/api/types'
import { count, ms } from '~/util/format'
import { dateAndClock } from '~/util/time'

/** The charts' twin: the same figures as text, newest first. */
export function TrendTable({ trends }: { trends: Trends }) {
  const [isOpen, setOpen] = useState(false)
  const { series, step_s: step } = trends
  const start = Date.parse(trends.start)
  const rows = series.requests.map((_, i) => i).toReversed()
  return (
    <details className="twin" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>The same as a table</summary>
      {isOpen && (
        <div className="table-wrap twin-table" role="region" aria-label="Last 24 hours as a table" tabIndex={0}>
          <table className="table">
            <caption className="sr-only">Last 24 hours in quarter hours</caption>
            <thead>
              <tr>
                <th scope="col">From</th>
                <th scope="col" className="numeric">Requests</th>
                <th scope="col" className="numeric">Tokens</th>
                <th scope="col" className="numeric">p50</th>
                <th scope="col" className="numeric">p95</th>
                <th scope="col" className="numeric">Errors</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((i) => (
                <tr key={i}>
                  <th scope="row">{dateAndClock(new Date(start + i * step * 1000))}</th>
                  <td className="numeric">{count(series.requests[i])}</td>
                  <td className="numeric">{count(series.tokens[i])}</td>
                  <td className="numeric">{ms(series.p50_ms[i])}</td>
                  <td className="numeric">{ms(series.p95_ms[i])}</td>
                  <td className="numeric">{count(series.errors[i])}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  )
}
