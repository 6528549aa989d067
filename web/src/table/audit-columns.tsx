import type { AuditEntry } from '~/api/types'
import type { Column } from '~/table/DataTable'
import { AppLink } from '~/ui/AppLink'
import { Time } from '~/ui/Time'
import { Truncate } from '~/ui/Truncate'
import { Unknown, Value } from '~/ui/Unknown'
import { changes } from '~/util/audit'
import type { Search } from '~/util/path-builder'

const ERASED = 'Erased with the person'
const DAMAGED = 'Cannot be read: somebody changed it in the database'

/** A value that narrows the list to the rows that have it. */
function Narrowing({ href, text, email }: { href: string; text: string; email?: string | null }) {
  return (
    <AppLink href={href} className={email ? '' : 'mono'} title={`Show ${text} alone`}>
      <Truncate text={email ?? text} max={26} />
    </AppLink>
  )
}

const whyNone = (row: AuditEntry, otherwise: string) => (row.is_damaged ? DAMAGED : row.is_erased ? ERASED : otherwise)

function Change({ row }: { row: AuditEntry }) {
  const words = changes(row.before, row.after)
  if (words.length === 0) return <Unknown why={whyNone(row, 'Says nothing more')} />
  return (
    <span>{words.join(', ')}</span>
  )
}

export const auditColumns = (hrefOf: (filter: Search) => string): Column<AuditEntry>[] => [
  { id: 'at', title: 'When', cell: (row) => <Time at={row.at} /> },
  { id: 'actor', title: 'Actor', cell: (row) => <Narrowing href={hrefOf({ actor: row.actor })} text={row.actor} email={row.actor_email} /> },
  { id: 'action', title: 'Action', cell: (row) => <Narrowing href={hrefOf({ action: row.action })} text={row.action} /> },
  { id: 'object', title: 'Object', cell: (row) => <Narrowing href={hrefOf({ object: row.object })} text={row.object} email={row.object_email} /> },
  { id: 'change', title: 'Change', className: 'wraps', cell: (row) => <Change row={row} /> },
  {
    id: 'reason',
    title: 'Reason',
    className: 'col-mid wraps',
    cell: (row) => <Value text={row.reason} why={whyNone(row, 'No reason given')} />,
  },
  {
    id: 'ip',
    title: 'Address',
    className: 'col-wide',
    cell: (row) => (
      <span className="mono">
        <Value text={row.ip} why={whyNone(row, 'Not over the network')} />
      </span>
    ),
  },
  {
    id: 'seq',
    title: 'No.',
    isNumeric: true,
    className: 'col-end',
    cell: (row) => (row.seq === null ? <Unknown why="Chained within a second" /> : <span title={`SHA-256 ${row.hash ?? ''}`}>{row.seq}</span>),
  },
]
