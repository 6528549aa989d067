import { SearchBox } from '~/table/SearchBox'
import { SelectField } from '~/ui/Field'
import type { Search } from '~/util/path-builder'
import { RANGES, rangeStart } from '~/util/ranges'

interface Props {
  active: Search
  onChange: (change: Search, how?: 'push' | 'replace') => void
}

/** `node:rig-1` is an object, `flag.set` an action; anything else is the id of a request. */
const KINDS: [pattern: RegExp, key: 'object' | 'action'][] = [
  [/^[a-z_]+:/, 'object'],
  [/^[a-z_]+\.[a-z_]+$/, 'action'],
]

function filterOf(text: string): Search {
  const key = KINDS.find(([pattern]) => pattern.test(text))?.[1] ?? 'request_id'
  return { object: undefined, action: undefined, request_id: undefined, [key]: text || undefined }
}

export function AuditFilterBar({ active, onChange }: Props) {
  return (
    <div className="filter-bar">
      <SearchBox
        label="Search the audit log"
        title="A whole object such as node:rig-1, a whole action such as flag.set, or the id of a request"
        placeholder="Object, action or request id"
        value={active.object ?? active.action ?? active.request_id ?? ''}
        onChange={(text) => onChange({ ...filterOf((text ?? '').trim()), cursor: undefined }, 'replace')}
      />
      <SelectField
        label="Time"
        isLabelHidden
        value={active.from ? 'set' : ''}
        onChange={(hours) => hours !== 'set' && onChange({ from: rangeStart(hours), to: undefined, cursor: undefined })}
        options={active.from ? [['set', `Since ${active.from.slice(0, 16).replace('T', ' ')} UTC`], ...RANGES] : RANGES}
      />
    </div>
  )
}
