// What the console asks of any wallet, whatever its chain. Each file beside this one speaks to one kind of them.
import type { WalletAnswer, WalletKind, WalletRequest } from '~/api/types'

export interface WalletAccount {
  address: string
  /** As the API names it; nothing where the wallet does not say. */
  chainId?: string | undefined
}

/** What a wallet has open now. No address: it was locked, or keeps its accounts to itself. */
export type WalletNews = { addresses: readonly string[] } | { chainId: string }

export interface Wallet {
  /** The same after the page was loaded anew. */
  id: string
  kind: WalletKind
  name: string
  icon?: string | undefined
  /** Asks the person which account this page may know. */
  connect: () => Promise<WalletAccount>
  sign: (request: WalletRequest) => Promise<WalletAnswer>
  /** What it has open, asked without disturbing anybody; only what it says. */
  look: () => Promise<WalletNews[]>
  onNews: (tell: (news: WalletNews) => void) => () => void
}

/** Where wallets put themselves: the window, or what stands for it in a test. */
export type Place = EventTarget & Record<string, unknown>
export const page = () => globalThis as unknown as Place

const NAME_MAX = 40
const ICON_MAX = 100_000

/** The name that a wallet gives itself, which anything in the browser may be. */
export const nameOf = (name: unknown, fallback: string) => (typeof name === 'string' && name.trim() ? name.trim().slice(0, NAME_MAX) : fallback)

/** A picture that is in the text itself. Nothing is fetched for a wallet. */
export const iconOf = (icon: unknown) => (typeof icon === 'string' && /^data:image\/(?:png|svg\+xml|webp|jpeg|gif)[;,]/.test(icon) && icon.length <= ICON_MAX ? icon : undefined)

/** Whether it is the same account. The letters of an EVM address are a checksum when they are mixed, and mean nothing. */
export const isSameAddress = (kind: WalletKind, a: string, b: string) => (kind === 'evm' ? a.toLowerCase() === b.toLowerCase() : a === b)

/** Runs what a wallet may refuse in any way: only answers are told. */
export async function quietly<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask()
  } catch {
    return null
  }
}
