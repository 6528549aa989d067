import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { query } from '~/api/queries'
import type { ApiKey } from '~/api/types'
import { MakeKey, RevokeKey } from '~/components/KeyDialogs'
import { useFocusAfter } from '~/hooks/use-focus-after'
import { useMe } from '~/hooks/use-me'
import { useSearchParams } from '~/hooks/use-search'
import { DataTable } from '~/table/DataTable'
import { Pager } from '~/table/Pager'
import { keyColumns } from '~/table/key-columns'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Icon } from '~/ui/Icon'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { SCOPE_NAMES, whyNotGiven } from '~/util/api-keys'
import { path } from '~/util/path-builder'

const SKELETON_ROWS = 3
const MAKE = 'make'

/** With which programs act for one; for everybody. */
export function KeysPage() {
  const me = useMe()
  const [search] = useSearchParams()
  const { cursor } = search
  const keys = useQuery(query.keys({ cursor }))
  const [doing, setDoing] = useState<ApiKey | typeof MAKE | null>(null)
  const close = () => setDoing(null)
  // One that was revoked has no button any more; its name stays.
  useFocusAfter(doing && (doing === MAKE ? '' : doing.id), (id) => document.querySelector<HTMLElement>(`[data-row-link="${CSS.escape(id)}"]`))
  const mayMake = SCOPE_NAMES.some((scope) => whyNotGiven(scope, me?.roles ?? []) === null)
  const make = (
    <Button tone="primary" disabledReason={mayMake ? null : 'There is nothing that a key could do for you here: you need the role consumer or operator'} onClick={() => setDoing(MAKE)}>
      Make a key…
    </Button>
  )
  return (
    <>
      <AppLink href={path.account()} className="back-link">
        <Icon name="chevronLeft" size={15} /> Account
      </AppLink>
      <PageHeading title="API keys" lead="Programs use them to call this network for you.">
        {make}
      </PageHeading>
      <div className="panel list-panel">
        <RefreshFailed query={keys} what="your API keys" />
        <QueryStates query={keys} what="your API keys" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-rows" onRetry={() => void keys.refetch()} />}>
          {(page) =>
            page.items.length > 0 ? (
              <>
                <DataTable label="API keys" columns={keyColumns(setDoing)} rows={page.items} rowKey={(row) => row.id} isRefreshing={keys.isPlaceholderData} />
                <Pager shown={page.items.length} total={null} nextCursor={page.next_cursor} search={search} noun="key" />
              </>
            ) : cursor ? (
              <EmptyState title="No keys on this page" action={<AppLink className="button" href={path.keys()}>To the first page</AppLink>} />
            ) : (
              <EmptyState title="No API keys">A key lets a program do for you what you choose, until it expires or you revoke it.</EmptyState>
            )
          }
        </QueryStates>
      </div>
      {doing === MAKE && <MakeKey onClose={close} />}
      {doing !== null && doing !== MAKE && <RevokeKey apiKey={doing} onClose={close} />}
    </>
  )
}
