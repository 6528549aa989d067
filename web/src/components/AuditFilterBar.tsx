import { SearchBox } from '~/table/SearchBox'
import { SelectField } from '~/ui/Field'
import type { Search } from '~/util/path-builder'
import { auditSearch } from '~/util/audit'
import { RANGES, rangeStart } from '~/util/ranges'

interface Props {
  active: Search
  onChange: (change: Search, how?: 'push' | 'replace') => void
}

export function AuditFilterBar({ active, onChange }: Props) {
  return (
    <div className="filter-bar">
      <SearchBox
        label="Search the audit log"
        title="The e-mail address of who did it, the id of a node, person, organisation or pool, a whole action such as flag.set, or the id of a request"
        placeholder="E-mail, node, action or request"
        value={active.object ?? active.action ?? active.request_id ?? (active.actor?.includes('@') ? active.actor : '')}
        onChange={(text) => onChange({ ...auditSearch((text ?? '').trim()), cursor: undefined }, 'replace')}
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
