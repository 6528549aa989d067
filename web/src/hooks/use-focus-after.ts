import { useEffect, useRef } from 'react'

/**
 * A dialog gives the focus back to the button that opened it. Where what was done there takes that button away, at once or
 * with the next answer, the place for what the dialog was of gets it: somebody at the keyboard goes on where they were.
 */
export function useFocusAfter(open: string | null, placeFor: (was: string) => HTMLElement | null | undefined): void {
  const was = useRef<string | null>(null)
  const opener = useRef<Element | null>(null)
  useEffect(() => {
    const { activeElement, body } = document
    if (open !== null) {
      was.current = open
      opener.current = null
    } else if (was.current !== null && activeElement !== body) opener.current ??= activeElement
    else if (was.current !== null && !opener.current?.isConnected) {
      placeFor(was.current)?.focus()
      was.current = null
    }
  })
}
