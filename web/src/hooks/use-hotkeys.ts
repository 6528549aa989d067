import { useRouter } from '@tanstack/react-router'
import { useEffect } from 'react'
import type { Me } from '~/api/types'
import { prefs } from '~/stores/prefs'
import { currentMe, hasRole, seesReceipts, session } from '~/stores/session'
import { nodesStart } from '~/util/nodes-start'
import { path } from '~/util/path-builder'

const CHORD_MS = 1500

const isAdmin = (me: Me | null) => hasRole(me, 'admin')
const hasPools = (me: Me | null) => me?.private_pools === true

const GO: Record<string, { href: string | ((me: Me | null) => string); isFor?: (me: Me | null) => boolean }> = {
  o: { href: path.overview() },
  n: { href: nodesStart },
  r: { href: path.receipts(), isFor: seesReceipts },
  u: { href: path.run() },
  p: { href: path.users(), isFor: isAdmin },
  c: { href: path.organisations(), isFor: isAdmin },
  l: { href: path.pools(), isFor: hasPools },
  i: { href: path.assignments(), isFor: isAdmin },
  d: { href: path.audit(), isFor: isAdmin },
  a: { href: path.account() },
  s: { href: path.sessions() },
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
}

/** Moves the focus between the rows of the page's list. */
function moveRow(step: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row-link]')]
  const at = rows.findIndex((row) => row === document.activeElement)
  const target = at === -1 ? rows[step === 1 ? 0 : rows.length - 1] : rows[at + step]
  target?.focus()
  target?.scrollIntoView({ block: 'nearest' })
}

/** Single-key shortcuts of the console. Off while typing, under a dialog, and where the person turned them off. */
export function useHotkeys(openHelp: () => void): void {
  const router = useRouter()
  useEffect(() => {
    let chordUntil = 0
    const onKeyDown = (event: KeyboardEvent) => {
      if (!prefs.get().shortcuts || event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return
      if (isTyping(event.target) || document.querySelector('dialog[open]')) return
      const isChord = event.timeStamp < chordUntil
      chordUntil = 0
      const target = isChord ? GO[event.key] : undefined
      const me = currentMe(session.get())
      const go = target && (target.isFor?.(me) ?? true) ? target.href : undefined
      const actions: Record<string, () => void> = {
        g: () => {
          chordUntil = event.timeStamp + CHORD_MS
        },
        '/': () => focusSearch(),
        '?': openHelp,
        j: () => moveRow(1),
        k: () => moveRow(-1),
      }
      const action = go ? () => void router.navigate({ href: typeof go === 'string' ? go : go(me) }) : actions[event.key]
      if (!action) return
      event.preventDefault()
      action()
    }
    const focusSearch = () => {
      const box = document.querySelector<HTMLInputElement>('[data-search]')
      if (box) box.focus()
      else void router.navigate({ href: seesReceipts(currentMe(session.get())) ? path.receipts() : nodesStart(currentMe(session.get())) })
    }
    document.addEventListener('keydown', onKeyDown)
    return () => document.removeEventListener('keydown', onKeyDown)
  }, [router, openHelp])
}
