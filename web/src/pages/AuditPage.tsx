import { useQuery } from '@tanstack/react-query'
import { call } from '~/api/client'
import { messageOf } from '~/api/errors'
import { query } from '~/api/queries'
import type { AuditPage as AuditRows } from '~/api/types'
import { AdminsOnly } from '~/components/AdminsOnly'
import { AuditFilterBar } from '~/components/AuditFilterBar'
import { useSearchParams } from '~/hooks/use-search'
import { showToast } from '~/stores/toasts'
import { DataTable } from '~/table/DataTable'
import { FilterChips, FilteredEmpty } from '~/table/FilterChips'
import { Pager } from '~/table/Pager'
import { auditColumns } from '~/table/audit-columns'
import { CopyButton } from '~/ui/CopyButton'
import { Icon } from '~/ui/Icon'
import { PageHeading } from '~/ui/PageHeading'
import { QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { auditFilters } from '~/util/filters'
import { count } from '~/util/format'
import { apiPath, apiUrl, path } from '~/util/path-builder'

const SKELETON_ROWS = 12

/** Who did what; for admins. */
export function AuditPage() {
  return (
    <AdminsOnly title="Audit" what="the audit log">
      <AuditLog />
    </AdminsOnly>
  )
}

function AuditLog() {
  const [search, change] = useSearchParams()
  const filters = auditFilters(search)
  const rows = useQuery(query.audit(filters.request))
  const hrefOf = (filter: Record<string, string | undefined>) => path.audit({ ...filters.active, ...filter })
  return (
    <>
      <PageHeading title="Audit" lead="Who did what to which object, from where and why. Each row is chained to the one before it.">
        <ExportLink href={apiUrl(apiPath.auditCsv(filters.active))} />
      </PageHeading>
      <div className="panel list-panel">
        <AuditFilterBar active={filters.active} onChange={change} />
        <FilterChips active={filters.active} ignored={filters.ignored} onChange={change} />
        <RefreshFailed query={rows} what="the audit log" />
        <QueryStates query={rows} what="the audit log" skeleton={<Skeleton lines={SKELETON_ROWS} className="skeleton-table" onRetry={() => void rows.refetch()} />}>
          {(page) =>
            page.items.length > 0 ? (
              <>
                <DataTable label="Audit log" columns={auditColumns(hrefOf)} rows={page.items} rowKey={(row) => String(row.id)} isRefreshing={rows.isPlaceholderData} />
                <ChainHead head={page.head} />
                <Pager shown={page.items.length} total={null} nextCursor={page.next_cursor} search={search} noun="entry" nouns="entries" />
              </>
            ) : (
              <FilteredEmpty noun="entries" active={filters.active} onChange={change} />
            )
          }
        </QueryStates>
      </div>
    </>
  )
}

/** A download asks past the client of this page, which renews the session where that is due: so that is done first. */
function ExportLink({ href }: { href: string }) {
  return (
    <a
      className="button"
      href={href}
      onClick={(event) => {
        event.preventDefault()
        void call(apiPath.me())
          .then(() => location.assign(href))
          .catch((error: unknown) => showToast(messageOf(error), 'error'))
      }}
    >
      <Icon name="download" size={16} /> Export CSV
    </a>
  )
}

/** Where the chain ends: kept elsewhere, it shows later that nothing before it was changed. */
function ChainHead({ head }: { head: AuditRows['head'] }) {
  return (
    <p className="chain-head muted small">
      Chained up to no. {count(head.seq)}. Keep this head elsewhere; <code>dgon-control-plane audit verify --noted</code> compares with it.
      <CopyButton text={`${head.seq}:${head.hash}`} what="head" isCompact />
    </p>
  )
}
