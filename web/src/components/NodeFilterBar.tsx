import { useQuery } from '@tanstack/react-query'
import { query } from '~/api/queries'
import { NODE_STATUS } from '~/components/StatusChip'
import { AssigneeField } from '~/forms/AssigneeField'
import { useMe } from '~/hooks/use-me'
import { hasRole } from '~/stores/session'
import { SearchBox } from '~/table/SearchBox'
import { SelectField } from '~/ui/Field'
import { count } from '~/util/format'
import { NODE_STATUSES, RUNTIMES, areCounted } from '~/util/filters'
import type { Search } from '~/util/path-builder'

interface Props {
  active: Search
  onChange: (change: Search, how?: 'push' | 'replace') => void
}

export function NodeFilterBar({ active, onChange }: Props) {
  const summary = useQuery(query.summary())
  const me = useMe()
  const canOwn = hasRole(me, 'admin', 'operator')
  const counts = areCounted(active, hasRole(me, 'admin')) ? summary.data?.nodes : undefined
  const isOwn = active.owner === 'self'
  const chosen = active.status?.split(',') ?? []
  const toggle = (status: string) => {
    const next = NODE_STATUSES.filter((each) => chosen.includes(each) !== (each === status))
    onChange({ status: next.join(',') || undefined, cursor: undefined })
  }
  const regions = new Set((summary.data?.p95_by_region ?? []).map(({ region }) => region).filter(Boolean))
  if (active.region) regions.add(active.region)
  return (
    <div className="filter-bar">
      <SearchBox label="Search nodes" placeholder="Search by node id" value={active.q ?? ''} onChange={(q) => onChange({ q, cursor: undefined }, 'replace')} />
      {canOwn && (
        <div className="toggles" role="group" aria-label="Owner">
          <button type="button" aria-pressed={isOwn} title="The nodes of your organisation" onClick={() => onChange({ owner: isOwn ? undefined : 'self', cursor: undefined })}>
            Mine
          </button>
        </div>
      )}
      <div className="toggles" role="group" aria-label="Status">
        {NODE_STATUSES.map((status) => (
          <button key={status} type="button" aria-pressed={chosen.includes(status)} onClick={() => toggle(status)}>
            {NODE_STATUS[status].word}
            {counts && <span className="toggle-count">{count(counts[status])}</span>}
          </button>
        ))}
      </div>
      <SelectField
        label="Region"
        isLabelHidden
        value={active.region ?? ''}
        onChange={(region) => onChange({ region: region || undefined, cursor: undefined })}
        options={[['', 'All regions'], ...[...regions].toSorted().map((region) => [region, region] as const)]}
      />
      <SelectField
        label="Runtime"
        isLabelHidden
        value={active.runtime ?? ''}
        onChange={(runtime) => onChange({ runtime: runtime || undefined, cursor: undefined })}
        options={[['', 'All runtimes'], ...RUNTIMES.map((kind) => [kind, kind] as const)]}
      />
      {canOwn && <AssigneeField value={active.assignee} onChange={(to) => onChange({ assignee: to, cursor: undefined })} />}
    </div>
  )
}
