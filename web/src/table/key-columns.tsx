import type { ApiKey } from '~/api/types'
import { OpenChip } from '~/components/StatusChip'
import type { Column } from '~/table/DataTable'
import { Button } from '~/ui/Button'
import { Time } from '~/ui/Time'
import { STATE_WORDS, dollars } from '~/util/api-keys'
import { plural } from '~/util/format'

/** What a key is limited to, in a line. */
export function limitsText({ models, budget_nano_usd: budget }: ApiKey): string {
  const ofModels = models ? plural(models.length, 'model') : 'All models'
  return budget === null || budget === undefined ? ofModels : `${ofModels}, ${dollars(budget)}`
}

export const keyColumns = (onRevoke: (row: ApiKey) => void): Column<ApiKey>[] => [
  {
    id: 'key',
    title: 'Key',
    cell: (row) => (
      <span className="key-name" data-row-link={row.id} tabIndex={-1}>
        <span>{row.name}</span>
        <code className="muted small">{row.prefix}…</code>
      </span>
    ),
  },
  { id: 'state', title: 'State', cell: (row) => (row.state === 'active' ? <OpenChip shut={null} word="Active" /> : <OpenChip shut={STATE_WORDS[row.state] ?? row.state} />) },
  {
    id: 'scopes',
    title: 'May',
    cell: (row) => (
      <span className="key-scopes">
        {row.scopes.map((scope) => (
          <code key={scope}>{scope}</code>
        ))}
      </span>
    ),
  },
  { id: 'org', title: 'Acts for', className: 'col-mid', cell: (row) => row.org_name },
  { id: 'limits', title: 'Limits', className: 'col-wide', cell: (row) => <span title={row.models?.join(', ')}>{limitsText(row)}</span> },
  { id: 'expires', title: 'Expires', className: 'col-mid', cell: (row) => <Time at={row.expires_at} /> },
  {
    id: 'used',
    title: 'Last used',
    cell: (row) => (row.last_used_at ? <span title={row.last_used_ip ? `From ${row.last_used_ip}` : undefined}><Time at={row.last_used_at} form="ago" /></span> : 'Never'),
  },
  {
    id: 'act',
    title: 'Action',
    isNumeric: true,
    cell: (row) =>
      row.state === 'active' && (
        <Button aria-label={`Revoke ${row.name}…`} onClick={() => onRevoke(row)}>
          Revoke…
        </Button>
      ),
  },
]
