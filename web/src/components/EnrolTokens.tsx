import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { revokeToken } from '~/api/mutations'
import { query } from '~/api/queries'
import type { EnrolmentToken } from '~/api/types'
import { TakeAway } from '~/components/TakeAway'
import { TokenMaker } from '~/components/TokenMaker'
import { useMe } from '~/hooks/use-me'
import { useNow } from '~/stores/clock'
import { live } from '~/stores/live'
import { hasRole } from '~/stores/session'
import { useStore } from '~/stores/store'
import { DataTable } from '~/table/DataTable'
import { NO_POOL, NO_REGION, tokenColumns } from '~/table/token-columns'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { Time } from '~/ui/Time'
import { count } from '~/util/format'
import { tokenName, usesText, worksAt } from '~/util/enrolment'

const SKELETON_ROWS = 3

/** The tokens with which machines can enrol now, and the way to end one. */
export function EnrolTokens({ onRevoked }: { onRevoked: (id: string) => void }) {
  const isAdmin = hasRole(useMe(), 'admin')
  const tokens = useQuery(query.recentTokens())
  const now = useNow() + useStore(live).clockOffsetMs
  const [revoking, setRevoking] = useState<EnrolmentToken | null>(null)
  const rows = tokens.data?.items.filter((one) => worksAt(one, now))
  const place = useRef<{ id: string; at: number } | null>(null)
  const heading = useRef<HTMLHeadingElement>(null)
  // A row that goes takes the focus along, which its dialog gave back to it. The row that comes into its place gets it, or
  // the heading where it was the last.
  useEffect(() => {
    const { current } = place
    if (!current || !rows || revoking !== null || rows.some(({ id }) => id === current.id)) return
    place.current = null
    if (document.activeElement !== document.body) return
    const next = rows[Math.min(current.at, rows.length - 1)]
    const button = next && document.querySelector<HTMLElement>(`[data-row-link="${CSS.escape(next.id)}"]`)
    ;(button ?? heading.current)?.focus()
  }, [rows, revoking])
  const open = (row: EnrolmentToken) => {
    place.current = { id: row.id, at: rows?.indexOf(row) ?? 0 }
    setRevoking(row)
  }
  return (
    <section className="panel list-panel" aria-labelledby="tokens-title">
      <header className="panel-head">
        <h2 id="tokens-title" ref={heading} tabIndex={-1}>
          Tokens that work
        </h2>
      </header>
      <RefreshFailed query={tokens} what="the tokens" />
      <QueryStates query={tokens} what="the tokens" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-rows" onRetry={() => void tokens.refetch()} />}>
        {({ items, isWhole }) => (
          <>
            {rows && rows.length > 0 ? (
              <>
                <DataTable label="Enrolment tokens that work" columns={tokenColumns(open)} rows={rows} rowKey={(row) => row.id} />
                <p className="list-note muted small">
                  {isAdmin ? 'Of all organisations.' : 'Of your organisation.'} Whoever has one of them can enrol a machine: revoke any that you do not know.
                </p>
              </>
            ) : (
              <EmptyState title="No token works now">One that is made here works for an hour, once.</EmptyState>
            )}
            {!isWhole && <p className="list-note muted small">Only the newest {count(items.length)} were looked at: older ones may work, too.</p>}
          </>
        )}
      </QueryStates>
      {revoking && (
        <TakeAway
          title={`Revoke ${tokenName(revoking)}`}
          name={tokenName(revoking)}
          button="Revoke the token"
          done="Revoked"
          facts={[
            ['Id', <code key="id" className="break">{revoking.id}</code>],
            ['Region', revoking.region, NO_REGION],
            ['Private pool', revoking.pool?.name, NO_POOL],
            ['Made by', <TokenMaker key="by" token={revoking} />],
            ['Made', <Time key="at" at={revoking.created_at} form="full" />],
            ['Uses left', usesText(revoking)],
            ['Works until', <Time key="until" at={revoking.expires_at} form="full" />],
          ]}
          act={() => revokeToken(revoking.id).then(() => onRevoked(revoking.id))}
          onClose={() => setRevoking(null)}
        >
          No machine enrols with it any more, at once and for good. Nodes that it enrolled stay.
        </TakeAway>
      )}
    </section>
  )
}
