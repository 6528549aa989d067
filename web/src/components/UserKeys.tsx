import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { query } from '~/api/queries'
import type { ApiKey } from '~/api/types'
import { RevokeKey } from '~/components/KeyDialogs'
import { useFocusAfter } from '~/hooks/use-focus-after'
import { DataTable } from '~/table/DataTable'
import { keyColumns } from '~/table/key-columns'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'

const AT_ONCE = '200'

/** The API keys of somebody, for an admin: who finds one in the wrong hands can end it. */
export function UserKeys({ userId }: { userId: string }) {
  const keys = useQuery(query.keys({ user_id: userId, limit: AT_ONCE }))
  const [revoking, setRevoking] = useState<ApiKey | null>(null)
  useFocusAfter(revoking && revoking.id, (id) => document.querySelector<HTMLElement>(`[data-row-link="${CSS.escape(id)}"]`))
  return (
    <section className="panel list-panel" aria-labelledby="api-keys">
      <header className="panel-head">
        <h2 id="api-keys">API keys</h2>
      </header>
      <RefreshFailed query={keys} what="the API keys" />
      <QueryStates query={keys} what="the API keys" skeleton={<Skeleton lines={1} className="skeleton-rows" onRetry={() => void keys.refetch()} />}>
        {(page) =>
          page.items.length > 0 ? (
            <>
              <DataTable label="API keys of this user" columns={keyColumns(setRevoking)} rows={page.items} rowKey={(row) => row.id} />
              {page.next_cursor && <p className="list-note muted small">These are the newest {AT_ONCE}.</p>}
            </>
          ) : (
            <EmptyState title="No API keys" />
          )
        }
      </QueryStates>
      {revoking && <RevokeKey apiKey={revoking} onClose={() => setRevoking(null)} />}
    </section>
  )
}
