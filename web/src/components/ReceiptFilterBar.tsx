import { SearchBox } from '~/table/SearchBox'
import { SelectField } from '~/ui/Field'
import { RECEIPT_STATUSES, SOURCES } from '~/util/filters'
import type { Search } from '~/util/path-builder'
import { RANGES, rangeStart } from '~/util/ranges'

interface Props {
  active: Search
  onChange: (change: Search, how?: 'push' | 'replace') => void
}

const KINDS: [pattern: RegExp, note: string][] = [
  [/^r_[0-9A-HJKMNP-TV-Z]{26}$/i, 'Reads as a receipt id'],
  [/^sha256:[0-9a-f]{64}$/i, 'Reads as the hash of a receipt'],
  [/^(?:sha256:)?[0-9a-f]{8,64}$/i, 'Reads as the beginning of a hash, an id, a node or a model'],
  [/^sha256:/, 'A hash is sha256: and 8 to 64 hex digits'],
  [/^blake3:/, 'Hashes of prompts and outputs are not searched for'],
  [/^ed25519:/, 'Keys are not searched for; open the node that signs with it'],
]

/** What the text looks like, so that a person sees a broken id at once, and what is not found at all. */
export function noteOnQuery(text: string): string | null {
  return KINDS.find(([pattern]) => pattern.test(text))?.[1] ?? null
}

export function ReceiptFilterBar({ active, onChange }: Props) {
  const note = noteOnQuery(active.q ?? '')
  const set = (key: string) => (value: string) => onChange({ [key]: value || undefined, cursor: undefined })
  return (
    <div className="filter-bar">
      <SearchBox
        label="Search receipts"
        title="A receipt id or its beginning, a whole node id, a whole model id, or a receipt's SHA-256 hash of 8 hex digits or more"
        placeholder="Receipt id, node, model or hash" value={active.q ?? ''} onChange={(q) => onChange({ q, cursor: undefined }, 'replace')} />
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
          hours !== 'set' && onChange({ from: rangeStart(hours), to: undefined, cursor: undefined })
        }
        options={active.from ? [['set', `Since ${active.from.slice(0, 16).replace('T', ' ')} UTC`], ...RANGES] : RANGES}
      />
      {note && <span className="muted small">{note}</span>}
    </div>
  )
}
