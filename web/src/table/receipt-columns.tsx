import type { ReceiptRow } from '~/api/types'
import { ReceiptStatusChip } from '~/components/StatusChip'
import { TokenCount } from '~/components/TokenCount'
import type { Column } from '~/table/DataTable'
import { AppLink } from '~/ui/AppLink'
import { Time } from '~/ui/Time'
import { Truncate } from '~/ui/Truncate'
import { Value } from '~/ui/Unknown'
import { ms } from '~/util/format'
import { path } from '~/util/path-builder'

export const receiptColumns = (): Column<ReceiptRow>[] => [
  {
    id: 'id',
    title: 'Receipt',
    cell: (row) => (
      <AppLink href={path.receipt(row.request_id, row.node_id)} className="row-link mono" data-row-link={row.request_id}>
        <Truncate text={row.request_id} max={18} />
      </AppLink>
    ),
  },
  { id: 'status', title: 'Status', cell: (row) => <ReceiptStatusChip status={row.status} /> },
  {
    id: 'node',
    title: 'Node',
    cell: (row) => (
      <AppLink href={path.node(row.node_id)} className="quiet-link mono">
        <Truncate text={row.node_id} max={20} />
      </AppLink>
    ),
  },
  {
    id: 'model',
    title: 'Model',
    cell: (row) => (
      <span className="clip" title={row.model_id}>
        {row.model_id}
      </span>
    ),
  },
  { id: 'region', title: 'Region', cell: (row) => <Value text={row.region} />, className: 'col-wide' },
  { id: 'source', title: 'Source', cell: (row) => <Value text={row.source} />, className: 'col-wide' },
  { id: 'in', title: 'Tokens in', isNumeric: true, cell: (row) => <TokenCount row={row} side="input" /> },
  { id: 'out', title: 'Tokens out', isNumeric: true, cell: (row) => <TokenCount row={row} side="output" /> },
  { id: 'ttft', title: 'First token', isNumeric: true, cell: (row) => <Value text={ms(row.ttft_ms)} why="Not measured" /> },
  { id: 'latency', title: 'Total', isNumeric: true, cell: (row) => <Value text={ms(row.latency_ms)} why="Not measured" />, className: 'col-wide' },
  { id: 'received', title: 'Received', isNumeric: true, cell: (row) => <Time at={row.received_at} /> },
]
