import type { NodeRow } from '~/api/types'
import { NodeStatusChip } from '~/components/StatusChip'
import type { Column } from '~/table/DataTable'
import { AppLink } from '~/ui/AppLink'
import { Time } from '~/ui/Time'
import { Truncate } from '~/ui/Truncate'
import { Unknown, Value } from '~/ui/Unknown'
import { count, ms } from '~/util/format'
import { gpusNotRead } from '~/util/gpus'
import { WITHHELD } from '~/util/withheld'

/** The first of many by name, the rest by number. */
function Several({ items, why }: { items: string[]; why: string }) {
  const [first, ...rest] = items
  if (first === undefined) return <Unknown why={why} />
  return (
    <span className="several" title={items.join('\n')}>
      <span className="clip">{first}</span>
      {rest.length > 0 && <span className="muted">+{rest.length}</span>}
    </span>
  )
}

export function groupedGpus(gpus: string[]): string[] {
  const counts = new Map<string, number>()
  for (const gpu of gpus) counts.set(gpu, (counts.get(gpu) ?? 0) + 1)
  return [...counts].map(([name, n]) => (n > 1 ? `${n}× ${name}` : name))
}

export const nodeColumns = (hrefOf: (row: NodeRow) => string): Column<NodeRow>[] => [
  {
    id: 'node',
    title: 'Node',
    sort: 'id',
    cell: (row) => (
      <AppLink href={hrefOf(row)} state={{ drawer: true }} className="row-link mono" data-row-link={row.node_id}>
        <Truncate text={row.node_id} max={24} />
      </AppLink>
    ),
  },
  { id: 'status', title: 'Status', sort: 'status', cell: (row) => <span title={row.status_reason ?? undefined}><NodeStatusChip status={row.status} /></span> },
  { id: 'region', title: 'Region', sort: 'region', cell: (row) => <span className="clip" title={row.region}>
        <Value text={row.region} />
      </span> },
  { id: 'gpu', title: 'GPU', cell: (row) => <Several items={groupedGpus(row.gpus)} why={row.gpus_not_read ? gpusNotRead(row.gpus_not_read) : 'No GPU reported'} />, className: 'col-mid' },
  { id: 'models', title: 'Models', cell: (row) => <Several items={row.models} why="No model reported" /> },
  {
    id: 'runtime',
    title: 'Runtime',
    cell: (row) => <Several items={row.runtimes.map(({ kind }) => kind)} why="No runtime found" />,
    className: 'col-wide',
  },
  { id: 'p95', title: 'p95 first token', sort: 'p95', isNumeric: true, cell: (row) => <Value text={ms(row.p95_ms)} why="No measurement in 24 h" /> },
  { id: 'requests', title: 'Requests 24 h', isNumeric: true, cell: (row) => count(row.requests_24h) },
  {
    id: 'heartbeat',
    title: 'Last heartbeat',
    sort: 'last_heartbeat',
    isNumeric: true,
    className: 'col-end',
    cell: (row) => (
      <span className={row.late ? 'stale' : ''}>
        <Time at={row.last_heartbeat_at} form="ago" />
        {row.late && <span className="late"> late</span>}
      </span>
    ),
  },
  { id: 'version', title: 'Agent', cell: (row) => <Value text={row.agent_version} {...(row.withheld && { why: WITHHELD })} />, className: 'col-wide' },
]
