import type { OpenSession } from '~/api/types'
import type { Column } from '~/table/DataTable'
import { Button } from '~/ui/Button'
import { Time } from '~/ui/Time'
import { Value } from '~/ui/Unknown'
import { browserName } from '~/util/browser'
import { methodWord } from '~/util/sessions'

export const NO_ADDRESS = 'The address was not noted'
export const NO_METHOD = 'Signed in before this was noted'

function Browser({ row }: { row: OpenSession }) {
  return (
    <>
      <span className="browser-name" title={row.user_agent ?? 'It did not say what it is'}>{browserName(row.user_agent)}</span>
      {row.is_current && <span className="chip chip-grey">This browser</span>}
    </>
  )
}

export const sessionColumns = (onEnd: (row: OpenSession) => void): Column<OpenSession>[] => [
  { id: 'browser', title: 'Browser', cell: (row) => <Browser row={row} /> },
  {
    id: 'address',
    title: 'Address',
    cell: (row) => (
      <span className="mono ip">
        <Value text={row.ip} why={NO_ADDRESS} />
      </span>
    ),
  },
  { id: 'method', title: 'Method', className: 'col-mid', cell: (row) => <Value text={methodWord(row.method)} why={NO_METHOD} /> },
  { id: 'began', title: 'Signed in', className: 'col-mid', cell: (row) => <Time at={row.created_at} /> },
  // The one that asks is seen by asking; when it was renewed last says less.
  { id: 'seen', title: 'Last seen', cell: (row) => (row.is_current ? 'Now' : <Time at={row.renewed_at} form="ago" />) },
  { id: 'ends', title: 'Ends by', className: 'col-wide', cell: (row) => <Time at={row.expires_at} /> },
  {
    id: 'act',
    title: 'Action',
    isNumeric: true,
    cell: (row) => (
      <Button data-row-link={row.id} aria-label={`Sign out ${browserName(row.user_agent)}…`} onClick={() => onEnd(row)}>
        Sign out…
      </Button>
    ),
  },
]
