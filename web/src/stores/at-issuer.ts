// Where somebody who went to an issuer to sign in wanted to go: the way back knows nothing of it.

const KEY = 'dgon.issuer'
/** The server lets nobody in who was away for longer. */
const LASTS_MS = 600_000

interface Away {
  next: string
  until: number
}

export function keepNext(next: string | null): void {
  try {
    if (next === null) sessionStorage.removeItem(KEY)
    else sessionStorage.setItem(KEY, JSON.stringify({ next, until: Date.now() + LASTS_MS } satisfies Away))
  } catch {
    // Without storage the way back leads to the first page.
  }
}

export function readNext(): string | undefined {
  try {
    const saved = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as Partial<Away> | null
    return typeof saved?.next === 'string' && (saved.until ?? 0) > Date.now() ? saved.next : undefined
  } catch {
    return undefined
  }
}
