import type { ReactNode } from 'react'
import { Button } from '~/ui/Button'
import { Icon } from '~/ui/Icon'
import { describeFilter } from '~/util/filters'
import type { Search } from '~/util/path-builder'

interface Props {
  active: Search
  ignored: string[]
  onChange: (change: Search) => void
  describe?: (key: string, value: string) => string
}

/** What narrows the list, each with its way out; and what of the address was not understood. */
export function FilterChips({ active, ignored, onChange, describe = describeFilter }: Props) {
  const entries = Object.entries(active)
  if (entries.length === 0 && ignored.length === 0) return null
  return (
    <div className="chips">
      {entries.map(([key, value]) => (
        <button key={key} type="button" className="filter-chip" onClick={() => onChange({ [key]: undefined, cursor: undefined })}>
          {describe(key, value ?? '')}
          <Icon name="close" size={12} />
          <span className="sr-only">Remove filter</span>
        </button>
      ))}
      {entries.length > 1 && (
        <Button tone="quiet" onClick={() => onChange(clearing(active))}>
          Clear filters
        </Button>
      )}
      {ignored.length > 0 && (
        <span className="muted" role="note">
          Ignored filter {ignored.join(', ')}
        </span>
      )}
    </div>
  )
}

export const clearing = (active: Search): Search => Object.fromEntries([...Object.keys(active), 'cursor'].map((key) => [key, undefined]))

interface EmptyProps extends Omit<Props, 'ignored'> {
  noun: string
  children?: ReactNode
}

export function FilteredEmpty({ noun, active, onChange, describe = describeFilter, children }: EmptyProps) {
  const words = Object.entries(active).map(([key, value]) => describe(key, value ?? ''))
  return (
    <div className="state">
      <p className="state-title">
        No {noun} match {words.join(' + ')}.
      </p>
      {children && <p className="muted">{children}</p>}
      <div className="state-action">
        <Button onClick={() => onChange(clearing(active))}>Clear filters</Button>
      </div>
    </div>
  )
}
