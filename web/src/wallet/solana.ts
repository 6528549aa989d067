// Wallets of Solana that follow the wallet standard: they and the page find each other by two events.
import { base64Of, bytesOf, textOf, utf8 } from '~/wallet/bytes'
import { WalletError, inWords } from '~/wallet/errors'
import { type Place, type Wallet, iconOf, nameOf, page, quietly } from '~/wallet/wallet'

interface StandardAccount {
  address: string
  chains?: readonly string[]
}

interface Signed {
  account?: StandardAccount
  signedMessage: unknown
  signature: unknown
}

interface Features {
  'standard:connect'?: { connect: (input?: { silent?: boolean }) => Promise<{ accounts: readonly StandardAccount[] }> }
  'standard:events'?: { on: (event: 'change', listener: (change: { accounts?: readonly StandardAccount[] }) => void) => () => void }
  'solana:signIn'?: { signIn: (...inputs: unknown[]) => Promise<readonly Signed[]> }
  'solana:signMessage'?: { signMessage: (...inputs: { account: StandardAccount; message: Uint8Array }[]) => Promise<readonly Signed[]> }
}

interface StandardWallet {
  name: string
  icon?: string
  chains: readonly string[]
  accounts: readonly StandardAccount[]
  features: Features
}

const isOfSolana = (chain: unknown) => typeof chain === 'string' && chain.startsWith('solana:')

function isUsable(value: unknown): value is StandardWallet {
  const { chains, features } = (value ?? {}) as Partial<StandardWallet>
  if (!Array.isArray(chains) || !chains.some(isOfSolana) || typeof features !== 'object' || features === null) return false
  return Boolean(features['standard:connect'] && (features['solana:signIn'] ?? features['solana:signMessage']))
}

/** Those of Solana; an account that names no chain is of all that its wallet has. */
const ofSolana = (accounts: readonly StandardAccount[] | undefined) => (accounts ?? []).filter(({ chains }) => !chains?.length || chains.some(isOfSolana))

/** The network, as the API names it. Most wallets name several and mean the main one. */
function clusterOf({ chains = [] }: StandardAccount): string {
  const clusters = chains.filter(isOfSolana).map((chain) => chain.slice('solana:'.length))
  return clusters.includes('mainnet') ? 'mainnet' : (clusters[0] ?? 'mainnet')
}

/** The answer to the request, where it is one: by this account, over this text. */
export function solanaAnswer(name: string, asked: { address: string; message: string }, signed: { address: string; message: unknown; signature: unknown }) {
  if (signed.address !== asked.address) throw new WalletError('other-account', name)
  const [message, signature] = [bytesOf(signed.message), bytesOf(signed.signature)]
  if (!message || !signature) throw new WalletError('failed', name)
  if (textOf(message) !== asked.message) throw new WalletError('other-text', name)
  return { signature: base64Of(signature), message: asked.message }
}

function solanaWallet(standard: StandardWallet): Wallet {
  const name = nameOf(standard.name, 'Wallet')
  const { features } = standard
  let connected: readonly StandardAccount[] = []
  return {
    id: `solana:${name}`,
    kind: 'solana',
    name,
    icon: iconOf(standard.icon),
    connect: () =>
      inWords(name, async () => {
        connected = ofSolana((await features['standard:connect']?.connect())?.accounts)
        const [account] = connected
        if (!account) throw new WalletError('no-account', name)
        return { address: account.address, chainId: clusterOf(account) }
      }),
    sign: ({ message, address, solana_input: input }) =>
      inWords(name, async () => {
        const account = [...connected, ...standard.accounts].find((one) => one.address === address)
        if (!account) throw new WalletError('other-account', name)
        // It checks the site itself and shows what it is, where it can.
        const isText = !features['solana:signIn'] || !input
        const signing = isText ? features['solana:signMessage']?.signMessage({ account, message: utf8(message) }) : features['solana:signIn']?.signIn(input)
        const signed = (await signing)?.[0]
        if (!signed) throw new WalletError('failed', name)
        return solanaAnswer(name, { address, message }, { address: signed.account?.address ?? address, message: signed.signedMessage, signature: signed.signature })
      }),
    look: async () => {
      const accounts = ofSolana((await quietly(async () => features['standard:connect']?.connect({ silent: true })))?.accounts)
      return accounts.length > 0 ? [{ addresses: accounts.map(({ address }) => address) }] : []
    },
    onNews: (tell) =>
      features['standard:events']?.on('change', ({ accounts }) => {
        if (accounts) tell({ addresses: ofSolana(accounts).map(({ address }) => address) })
      }) ?? (() => {}),
  }
}

/** Tells of each wallet that registers itself, now or later. */
export function standardSolana(found: (wallet: Wallet) => void, place: Place = page()): () => void {
  const seen = new Set<unknown>()
  const register = (...wallets: unknown[]) => {
    for (const wallet of wallets) {
      if (seen.has(wallet) || !isUsable(wallet)) continue
      seen.add(wallet)
      found(solanaWallet(wallet))
    }
    return () => {}
  }
  const api = Object.freeze({ register })
  const listen = (event: Event) => {
    const { detail } = event as CustomEvent<unknown>
    if (typeof detail === 'function') (detail as (to: typeof api) => void)(api)
  }
  place.addEventListener('wallet-standard:register-wallet', listen)
  place.dispatchEvent(new CustomEvent('wallet-standard:app-ready', { detail: api }))
  return () => place.removeEventListener('wallet-standard:register-wallet', listen)
}
