import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { query } from '~/api/queries'
import type { OpenSession } from '~/api/types'
import { EndOtherSessions, EndSession } from '~/components/SignOutDialogs'
import { useMe } from '~/hooks/use-me'
import { DataTable } from '~/table/DataTable'
import { sessionColumns } from '~/table/session-columns'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Icon } from '~/ui/Icon'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { path } from '~/util/path-builder'
import { inOrder } from '~/util/sessions'

const SKELETON_ROWS = 3
const OTHERS = 'others'

type Ending = OpenSession | typeof OTHERS

/** Where one is signed in, and the ways to end that; for everybody. */
export function SessionsPage() {
  const me = useMe()
  const sessions = useQuery(query.sessions())
  const [ending, setEnding] = useState<Ending | null>(null)
  const rows = sessions.data && inOrder(sessions.data.items)
  // A list without this browser is not the whole one, and says nothing of how many others there are.
  const others = rows?.some((row) => row.is_current) ? rows.length - 1 : undefined
  const place = useRef<{ id: string; at: number } | null>(null)
  // A row that ends takes the focus along, which its dialog gave back to it. The row that comes into its place gets it, so
  // that somebody at the keyboard goes on where they were.
  useEffect(() => {
    const { current } = place
    if (!current || !rows || ending !== null || rows.some(({ id }) => id === current.id)) return
    place.current = null
    const links = [...document.querySelectorAll<HTMLElement>('tbody [data-row-link]')]
    if (document.activeElement === document.body) links[Math.min(current.at, links.length - 1)]?.focus()
  }, [rows, ending])
  const open = (row: OpenSession) => {
    place.current = { id: row.id, at: rows?.indexOf(row) ?? 0 }
    setEnding(row)
  }
  // An answer may come when its dialog was closed and another was opened.
  const close = (what: Ending) => setEnding((now) => (now === what ? null : now))
  const whyNot = others === 0 ? 'You are signed in nowhere else' : sessions.isPending ? 'The list is not here yet' : null
  return (
    <>
      <AppLink href={path.account()} className="back-link">
        <Icon name="chevronLeft" size={15} /> Account
      </AppLink>
      <PageHeading title="Sign-ins" lead={`Every browser that is signed in as ${me?.email ?? 'you'}.`}>
        <Button icon="signOut" disabledReason={whyNot} onClick={() => setEnding(OTHERS)}>
          Sign out everywhere else…
        </Button>
      </PageHeading>
      <div className="panel list-panel">
        <RefreshFailed query={sessions} what="your sign-ins" />
        <QueryStates query={sessions} what="your sign-ins" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-rows" onRetry={() => void sessions.refetch()} />}>
          {() =>
            rows && rows.length > 0 ? (
              <>
                <DataTable label="Sign-ins" columns={sessionColumns(open)} rows={rows} rowKey={(row) => row.id} />
                <p className="list-note muted small">A browser in use is seen about every ten minutes. Sign out any that you do not know.</p>
              </>
            ) : (
              <EmptyState title="No sign-ins" action={<Button onClick={() => void sessions.refetch()}>Look again</Button>}>
                Not even this browser's is on the list. It may have ended a moment ago.
              </EmptyState>
            )
          }
        </QueryStates>
      </div>
      {ending === OTHERS && <EndOtherSessions others={others} onEnded={() => close(ending)} onClose={() => close(ending)} />}
      {ending !== null && ending !== OTHERS && <EndSession session={ending} onEnded={() => close(ending)} onClose={() => close(ending)} />}
    </>
  )
}
