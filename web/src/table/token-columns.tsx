import type { EnrolmentToken } from '~/api/types'
import { TokenMaker } from '~/components/TokenMaker'
import type { Column } from '~/table/DataTable'
import { Button } from '~/ui/Button'
import { Time } from '~/ui/Time'
import { Value } from '~/ui/Unknown'
import { tokenName, usesText } from '~/util/enrolment'

export const NO_REGION = 'None given'
export const NO_POOL = 'None: everybody may see its nodes'

export const tokenColumns = (onRevoke: (row: EnrolmentToken) => void): Column<EnrolmentToken>[] => [
  {
    id: 'token',
    title: 'Token',
    cell: (row) => (
      <span className="key-name">
        {row.label && <span>{row.label}</span>}
        <code className="muted small">{row.id}</code>
        <span className="in-little-room muted small">
          {usesText(row)} left, until <Time at={row.expires_at} />
        </span>
      </span>
    ),
  },
  { id: 'where', title: 'Region', cell: (row) => <Value text={row.region} why={NO_REGION} /> },
  { id: 'in-pool', title: 'Private pool', className: 'col-mid', cell: (row) => <Value text={row.pool?.name} why={NO_POOL} title={row.pool?.name} /> },
  { id: 'by', title: 'Made by', className: 'col-mid', cell: (row) => <TokenMaker token={row} /> },
  { id: 'uses', title: 'Uses left', isNumeric: true, cell: usesText },
  { id: 'until', title: 'Works until', cell: (row) => <Time at={row.expires_at} /> },
  {
    id: 'act',
    title: 'Action',
    isNumeric: true,
    cell: (row) => (
      <Button data-row-link={row.id} aria-label={`Revoke ${tokenName(row)}…`} onClick={() => onRevoke(row)}>
        Revoke…
      </Button>
    ),
  },
]
