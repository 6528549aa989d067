import type { OpenSession } from '~/api/types'

const METHODS: Record<string, string> = { password: 'Password', link: 'Sign-in link', setup: 'Set-up link', registration: 'New account', wallet: 'Wallet', oidc: 'Account elsewhere' }

/** How somebody proved who they were. Nothing where the version of then did not note it; a newer word is shown as it is. */
export const methodWord = (method: string): string | null => (method === 'unknown' ? null : (METHODS[method] ?? method))

/**
 * This browser first, then the ones that signed in last. The API has the one renewed last first, which is another every
 * few minutes: a row with a button that ends something must not move under a hand.
 */
export function inOrder(sessions: readonly OpenSession[]): OpenSession[] {
  const rank = ({ is_current: isCurrent }: OpenSession) => (isCurrent ? 0 : 1)
  return sessions.toSorted((a, b) => rank(a) - rank(b) || Date.parse(b.created_at) - Date.parse(a.created_at) || (a.id < b.id ? -1 : 1))
}
