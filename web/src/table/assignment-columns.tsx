import type { AssignedNode } from '~/api/types'
import { NodeStatusChip } from '~/components/StatusChip'
import type { Column } from '~/table/DataTable'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Unknown, Value } from '~/ui/Unknown'
import { path } from '~/util/path-builder'

const SHOWN = 5

/** Who takes care of a node; a name leads to the nodes of that person. */
function People({ node }: { node: AssignedNode }) {
  const { assignees } = node
  if (assignees.length === 0) return <Unknown why="Nobody takes care of it" />
  return (
    <ul className="memberships">
      {assignees.slice(0, SHOWN).map((one) => (
        <li key={one.user_id}>
          <AppLink href={path.assignments({ assignee: one.user_id })} className="quiet-link" title={`Nodes of ${one.email}`}>
            {one.email}
          </AppLink>
        </li>
      ))}
      {assignees.length > SHOWN && <li className="muted">and {assignees.length - SHOWN} more</li>}
    </ul>
  )
}

export const assignmentColumns = (onAssign: (row: AssignedNode) => void): Column<AssignedNode>[] => [
  {
    id: 'node',
    title: 'Node',
    cell: (row) => (
      <AppLink href={path.node(row.node_id)} className="row-link mono" data-row-link={row.node_id} title={row.node_id}>
        {row.node_id}
      </AppLink>
    ),
  },
  { id: 'people', title: 'Taken care of by', cell: (row) => <People node={row} /> },
  { id: 'organisation', title: 'Organisation', className: 'col-mid', cell: (row) => <Value text={row.org_name ?? row.org_id} why="It belongs to none" /> },
  { id: 'region', title: 'Region', className: 'col-mid', cell: (row) => row.region },
  { id: 'status', title: 'Status', className: 'col-mid', cell: (row) => <NodeStatusChip status={row.status} /> },
  {
    id: 'acts',
    title: 'Actions',
    isNumeric: true,
    cell: (row) => (
      <span className="row-buttons">
        <Button data-assign={row.node_id} aria-label={`Assign somebody to ${row.node_id}…`} onClick={() => onAssign(row)}>
          Assign…
        </Button>
      </span>
    ),
  },
]
