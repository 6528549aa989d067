import type { User } from '~/api/types'
import { OpenChip } from '~/components/StatusChip'
import type { Column } from '~/table/DataTable'
import { AppLink } from '~/ui/AppLink'
import { Time } from '~/ui/Time'
import { Unknown } from '~/ui/Unknown'
import { path } from '~/util/path-builder'
import { rolesText } from '~/util/people'

const SHOWN = 3

/** Where somebody is and what they may do there; of many the first, their page has all. */
function Memberships({ user }: { user: User }) {
  const { memberships } = user
  if (memberships.length === 0) return <Unknown why="In no organisation" />
  return (
    <ul className="memberships">
      {memberships.slice(0, SHOWN).map((one) => (
        <li key={one.org_id}>
          <span className="org-name">{one.org_name}</span> <span className="muted">{one.is_closed ? 'closed' : rolesText(one.roles).toLowerCase()}</span>
        </li>
      ))}
      {memberships.length > SHOWN && <li className="muted">and {memberships.length - SHOWN} more</li>}
    </ul>
  )
}

export const userColumns = (): Column<User>[] => [
  {
    id: 'email',
    title: 'E-mail',
    cell: (row) => (
      <>
        <AppLink href={path.user(row.user_id)} className="row-link" data-row-link={row.user_id} title={row.email}>
          {row.email}
        </AppLink>
        {row.disabled_at && (
          <span className="in-little-room">
            <OpenChip shut="Disabled" />
          </span>
        )}
      </>
    ),
  },
  { id: 'memberships', title: 'Memberships', cell: (row) => <Memberships user={row} /> },
  { id: 'signed-in', title: 'Last sign-in', className: 'col-mid', cell: (row) => <Time at={row.last_sign_in_at} why="Never signed in" /> },
  { id: 'created', title: 'Created', className: 'col-mid', cell: (row) => <Time at={row.created_at} /> },
  { id: 'state', title: 'State', cell: (row) => <OpenChip shut={row.disabled_at ? 'Disabled' : null} /> },
]
