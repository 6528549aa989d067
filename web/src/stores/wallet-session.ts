// With which wallet this tab signed in, and what the wallet ended.
import type { WalletKind } from '~/api/types'
import { createStore } from '~/stores/store'

export interface WalletSession {
  userId: string
  walletId: string
  kind: WalletKind
  /** What the wallet calls itself. */
  name: string
  address: string
  chainId?: string | undefined
}

const KEY = 'dgon.wallet'

/** Why the last session of this page ended, where nobody signed out; shown where one signs in. */
export const endedBecause = createStore<string | null>(null)

export function rememberWallet(session: WalletSession): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(session))
  } catch {
    // Without storage the wallet is not followed after a reload; there is nothing else to be done about that.
  }
}

export function forgetWallet(): void {
  try {
    sessionStorage.removeItem(KEY)
  } catch {
    // There is nothing to forget.
  }
}

export function walletOf(userId: string): WalletSession | null {
  try {
    const session = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as WalletSession | null
    return session?.userId === userId ? session : null
  } catch {
    return null
  }
}
