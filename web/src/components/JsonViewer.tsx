import { useState } from 'react'
import { Tabs } from '~/ui/Tabs'
import { type JsonValue, parseStrict, quote } from '~/util/verify/strict-json'

const VIEWS = [
  { id: 'tree', title: 'Tree' },
  { id: 'raw', title: 'Raw bytes' },
] as const

const MAX_DEPTH = 32

function parsed(text: string): JsonValue | null {
  try {
    return parseStrict(new TextEncoder().encode(text), MAX_DEPTH).root
  } catch {
    return null
  }
}

/** The receipt as it came: a tree to read, the raw bytes to compare. Never written anew by JSON.stringify. */
export function JsonViewer({ raw }: { raw: string }) {
  const [view, setView] = useState<'tree' | 'raw'>('tree')
  const root = parsed(raw)
  return (
    <Tabs label="Receipt as JSON" tabs={VIEWS} selected={view} onSelect={setView}>
      {view === 'tree' && root ? (
        <div className="json">
          <Tree value={root} />
        </div>
      ) : (
        <pre className="json json-raw">{raw}</pre>
      )}
    </Tabs>
  )
}

function Tree({ value }: { value: JsonValue }) {
  switch (value.kind) {
    case 'object':
      return (
        <ul className="json-list">
          {value.members.map(({ key, value: inner }) => (
            <li key={key}>
              <span className="json-key">{key}</span>
              <Branch value={inner} />
            </li>
          ))}
        </ul>
      )
    case 'array':
      return (
        <ol className="json-list">
          {value.items.map((inner, i) => (
            // An array in a receipt never changes its order.
            // oxlint-disable-next-line no-array-index-key
            <li key={i}>
              <Branch value={inner} />
            </li>
          ))}
        </ol>
      )
    case 'string':
      return <span className="json-string">{quote(value.value)}</span>
    case 'int':
      return <span className="json-number">{value.text}</span>
    case 'bool':
      return <span className="json-word">{String(value.value)}</span>
    case 'null':
      return <span className="json-word">null</span>
  }
}

/** Short arrays of plain values read better in one line. */
function Branch({ value }: { value: JsonValue }) {
  const isNested = value.kind === 'object' || value.kind === 'array'
  if (!isNested) return <Tree value={value} />
  if (value.kind === 'array' && value.items.every((item) => item.kind === 'int')) {
    const inner = value.items.map((item) => (item.kind === 'int' ? item.text : '')).join(', ')
    return <span className="json-number">[{inner}]</span>
  }
  const size = value.kind === 'object' ? value.members.length : value.items.length
  return (
    <details open>
      <summary className="muted">{value.kind === 'object' ? `{${size}}` : `[${size}]`}</summary>
      <Tree value={value} />
    </details>
  )
}
