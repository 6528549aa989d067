import { useRouter } from '@tanstack/react-router'
import type { AnchorHTMLAttributes, MouseEvent } from 'react'

interface Props extends AnchorHTMLAttributes<HTMLAnchorElement> {
  href: string
  /** Kept in the history entry: how the page should open. */
  state?: Record<string, unknown>
  ref?: React.Ref<HTMLAnchorElement>
  replace?: boolean
}

const isPlainClick = (event: MouseEvent) =>
  event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey

/** A real link that stays inside the console: middle click, copy address and open in new tab work. */
export function AppLink({ href, state, replace, onClick, children, ...rest }: Props) {
  const router = useRouter()
  return (
    <a
      href={href}
      {...rest}
      onClick={(event) => {
        onClick?.(event)
        if (event.defaultPrevented || !isPlainClick(event)) return
        event.preventDefault()
        void router.navigate({ href, replace: replace ?? false, ...(state && { state }) })
      }}
    >
      {children}
    </a>
  )
}
