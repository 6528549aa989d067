import { useEffect, useRef, useState } from 'react'
import { Icon } from '~/ui/Icon'

const TYPING_MS = 250

interface Props {
  label: string
  placeholder: string
  /** What is found, in whole words. */
  title?: string
  value: string
  onChange: (value: string | undefined) => void
}

/** Writes the address while typing, after a pause, without a step in the history per letter. */
export function SearchBox({ label, placeholder, title, value, onChange }: Props) {
  const [text, setText] = useState(value)
  const written = useRef(value)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => {
    // The address changed by other means: back, or a removed chip.
    if (value !== written.current) {
      written.current = value
      setText(value)
    }
  }, [value])
  useEffect(() => () => clearTimeout(timer.current), [])
  const write = (next: string) => {
    clearTimeout(timer.current)
    const trimmed = next.trim()
    written.current = trimmed
    onChange(trimmed || undefined)
  }
  return (
    <div className="search" role="search">
      <Icon name="search" size={16} />
      <input
        type="search"
        data-search
        aria-label={label}
        aria-keyshortcuts="/"
        placeholder={placeholder}
        title={title}
        value={text}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => {
          const next = event.target.value
          setText(next)
          clearTimeout(timer.current)
          timer.current = setTimeout(() => write(next), TYPING_MS)
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter') write(text)
          if (event.key === 'Escape') event.currentTarget.blur()
        }}
      />
      <kbd aria-hidden="true">/</kbd>
    </div>
  )
}
