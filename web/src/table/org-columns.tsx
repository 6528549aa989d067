import type { Organisation } from '~/api/types'
import type { Column } from '~/table/DataTable'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Time } from '~/ui/Time'
import { count, plural } from '~/util/format'
import { path } from '~/util/path-builder'
import { MAIN_ORG } from '~/util/people'

type Act = (row: Organisation) => void

const isMain = ({ org_id: id }: Organisation) => id === MAIN_ORG

export const orgColumns = (onRename: Act, onClose: Act): Column<Organisation>[] => [
  {
    id: 'organisation',
    title: 'Name',
    cell: (row) => (
      <span className="named">
        <AppLink href={path.users({ org_id: row.org_id })} className="row-link" data-row-link={row.org_id} title={`Users of ${row.name}`}>
          {row.name}
        </AppLink>
        {isMain(row) && <span className="chip chip-grey">The network's own</span>}
        {row.closed_at && <span className="chip chip-grey">Closed</span>}
      </span>
    ),
  },
  {
    id: 'members',
    title: 'Members',
    isNumeric: true,
    cell: (row) => (
      <AppLink href={path.users({ org_id: row.org_id })} className="quiet-link" aria-label={`${plural(row.members, 'member')} of ${row.name}`}>
        {count(row.members)}
      </AppLink>
    ),
  },
  { id: 'nodes', title: 'Nodes', isNumeric: true, cell: (row) => count(row.nodes) },
  { id: 'made', title: 'Made', className: 'col-mid', cell: (row) => <Time at={row.created_at} /> },
  { id: 'closed', title: 'Closed', className: 'col-mid', cell: (row) => <Time at={row.closed_at} why="It is open" /> },
  {
    id: 'acts',
    title: 'Actions',
    isNumeric: true,
    cell: (row) =>
      !row.closed_at && (
        <span className="row-buttons">
          <Button aria-label={`Rename ${row.name}…`} onClick={() => onRename(row)}>
            Rename…
          </Button>
          {!isMain(row) && (
            <Button aria-label={`Close ${row.name}…`} onClick={() => onClose(row)}>
              Close…
            </Button>
          )}
        </span>
      ),
  },
]
