import type { Membership } from '~/api/types'
import type { Column } from '~/table/DataTable'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Time } from '~/ui/Time'
import { Truncate } from '~/ui/Truncate'
import { path } from '~/util/path-builder'
import { rolesText } from '~/util/people'

type Act = (row: Membership) => void

export const membershipColumns = (onChange: Act, onRemove: Act): Column<Membership>[] => [
  {
    id: 'organisation',
    title: 'Organisation',
    cell: (row) => (
      <span className="named">
        <AppLink href={path.users({ org_id: row.org_id })} className="row-link" title={`Users of ${row.org_name}`}>
          {row.org_name}
        </AppLink>
        {row.is_closed && <span className="chip chip-grey">Closed</span>}
      </span>
    ),
  },
  { id: 'roles', title: 'Roles', cell: (row) => rolesText(row.roles) },
  { id: 'since', title: 'Member since', className: 'col-mid', cell: (row) => <Time at={row.since} /> },
  {
    id: 'by',
    title: 'Roles given by',
    className: 'col-mid',
    cell: (row) => (
      <span className="mono">
        <Truncate text={row.by} max={20} />
      </span>
    ),
  },
  {
    id: 'acts',
    title: 'Actions',
    isNumeric: true,
    cell: (row) => (
      <span className="row-buttons">
        {!row.is_closed && (
          <Button data-row-link={row.org_id} aria-label={`Change roles in ${row.org_name}…`} onClick={() => onChange(row)}>
            Roles…
          </Button>
        )}
        <Button aria-label={`Take out of ${row.org_name}…`} onClick={() => onRemove(row)}>
          Take out…
        </Button>
      </span>
    ),
  },
]
