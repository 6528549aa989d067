import { SearchBox } from '~/table/SearchBox'
import { SelectField } from '~/ui/Field'
import { RECEIPT_STATUSES, SOURCES } from '~/util/filters'
import type { Search } from '~/util/path-builder'

interface Props {
  active: Search
  onChange: (change: Search, how?: 'push' | 'replace') => void
}

const HOUR_MS = 3_600_000
const RANGES: readonly (readonly [string, string])[] = [
  ['', 'Any time'],
  ['1', 'Last hour'],
  ['24', 'Last 24 hours'],
  ['168', 'Last 7 days'],
]

const KINDS: [pattern: RegExp, what: string][] = [
  [/^r_[0-9A-HJKMNP-TV-Z]{26}$/i, 'a receipt id'],
  [/^sha256:[0-9a-f]{64}$/, 'a SHA-256 hash'],
  [/^blake3:[0-9a-f]{64}$/, 'a BLAKE3 hash'],
  [/^ed25519:[A-Za-z0-9+/]{43}=$/, 'a public key'],
]

/** What the text looks like, so that a person sees a broken id at once. */
export function kindOfQuery(text: string): string | null {
  return KINDS.find(([pattern]) => pattern.test(text))?.[1] ?? null
}

export function ReceiptFilterBar({ active, onChange }: Props) {
  const kind = kindOfQuery(active.q ?? '')
  const set = (key: string) => (value: string) => onChange({ [key]: value || undefined, cursor: undefined })
  return (
    <div className="filter-bar">
      <SearchBox label="Search receipts" placeholder="Receipt id, node or model" value={active.q ?? ''} onChange={(q) => onChange({ q, cursor: undefined }, 'replace')} />
      <SelectField label="Status" isLabelHidden value={active.status ?? ''} onChange={set('status')} options={[['', 'All statuses'], ...RECEIPT_STATUSES.map((s) => [s, s] as const)]} />
      <SelectField label="Source" isLabelHidden value={active.source ?? ''} onChange={set('source')} options={[['', 'All sources'], ...SOURCES.map((s) => [s, s] as const)]} />
      <SelectField
        label="Cache"
        isLabelHidden
        value={active.cache_hit ?? ''}
        onChange={set('cache_hit')}
        options={[
          ['', 'Cache hit or not'],
          ['true', 'Cache hit'],
          ['false', 'No cache hit'],
        ]}
      />
      <SelectField
        label="Time"
        isLabelHidden
        value={active.from ? 'set' : ''}
        onChange={(hours) =>
          hours !== 'set' && onChange({ from: hours ? new Date(Date.now() - Number(hours) * HOUR_MS).toISOString() : undefined, to: undefined, cursor: undefined })
        }
        options={active.from ? [['set', `Since ${active.from.slice(0, 16).replace('T', ' ')} UTC`], ...RANGES] : RANGES}
      />
      {kind && <span className="muted small">Reads as {kind}</span>}
    </div>
  )
}
