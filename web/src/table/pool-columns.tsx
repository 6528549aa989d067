import type { Pool } from '~/api/types'
import type { Column } from '~/table/DataTable'
import { AppLink } from '~/ui/AppLink'
import { Time } from '~/ui/Time'
import { Value } from '~/ui/Unknown'
import { count, plural } from '~/util/format'
import { path } from '~/util/path-builder'
import { existenceText, labelsText } from '~/util/pools'

export const poolColumns = (): Column<Pool>[] => [
  {
    id: 'pool',
    title: 'Name',
    cell: (row) => (
      <span className="named">
        <AppLink href={path.pool(row.pool_id)} className="row-link" data-row-link={row.pool_id}>
          {row.name}
        </AppLink>
        {row.closed_at && <span className="chip chip-grey">Closed</span>}
        <span className="in-little-room muted small">{plural(row.nodes, 'node')}</span>
      </span>
    ),
  },
  { id: 'organisation', title: 'Organisation', cell: (row) => row.org_name },
  { id: 'labels', title: 'Labels', className: 'col-mid', cell: (row) => <Value text={labelsText(row.labels)} why="It has none" /> },
  {
    id: 'nodes',
    title: 'Nodes',
    isNumeric: true,
    cell: (row) => (
      <AppLink href={path.nodes({ pool: row.pool_id })} className="quiet-link" aria-label={`${plural(row.nodes, 'node')} in ${row.name}`}>
        {count(row.nodes)}
      </AppLink>
    ),
  },
  { id: 'members', title: 'Admits', isNumeric: true, cell: (row) => <Value text={count(row.members)} why="Told to its own organisation" /> },
  { id: 'existence', title: 'To others', className: 'col-mid', cell: (row) => <span title={existenceText(row.existence)}>{row.existence}</span> },
  { id: 'made', title: 'Made', className: 'col-mid', cell: (row) => <Time at={row.created_at} /> },
]
