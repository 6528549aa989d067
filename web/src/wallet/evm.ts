// Wallets of Ethereum and the chains like it: found by EIP-6963, spoken to by EIP-1193.
import { hexOf, utf8 } from '~/wallet/bytes'
import { WalletError, inWords } from '~/wallet/errors'
import { type Place, type Wallet, iconOf, nameOf, page, quietly } from '~/wallet/wallet'

interface Provider {
  request: (call: { method: string; params?: unknown[] }) => Promise<unknown>
  on?: (event: string, listener: (value: unknown) => void) => unknown
  removeListener?: (event: string, listener: (value: unknown) => void) => unknown
  isMetaMask?: boolean
}

interface Announcement {
  info: { uuid: string; name: string; icon: string; rdns: string }
  provider: Provider
}

const isProvider = (value: unknown): value is Provider => typeof value === 'object' && value !== null && typeof (value as Provider).request === 'function'

function isAnnouncement(value: unknown): value is Announcement {
  const { info, provider } = (value ?? {}) as Partial<Announcement>
  return typeof info === 'object' && typeof info?.uuid === 'string' && isProvider(provider)
}

/** The number of a chain as the API takes it; nothing for what is none. */
function chainNumber(hex: unknown): string | undefined {
  const isNumber = typeof hex === 'number' || (typeof hex === 'string' && /^(?:0x[\da-f]+|\d+)$/i.test(hex))
  return isNumber ? BigInt(hex).toString() : undefined
}

const firstOf = (accounts: unknown) => (Array.isArray(accounts) && typeof accounts[0] === 'string' ? accounts[0] : null)

function evmWallet(provider: Provider, id: string, name: string, icon?: string): Wallet {
  const ask = (method: string, params?: unknown[]) => provider.request({ method, ...(params && { params }) })
  return {
    id,
    kind: 'evm',
    name,
    icon,
    connect: () =>
      inWords(name, async () => {
        const address = firstOf(await ask('eth_requestAccounts'))
        if (address === null) throw new WalletError('no-account', name)
        return { address, chainId: chainNumber(await ask('eth_chainId')) }
      }),
    sign: ({ message, address }) =>
      inWords(name, async () => {
        const signature = await ask('personal_sign', [hexOf(utf8(message)), address])
        if (typeof signature !== 'string') throw new WalletError('failed', name)
        return { signature }
      }),
    look: async () => {
      const address = firstOf(await quietly(() => ask('eth_accounts')))
      const chainId = chainNumber(await quietly(() => ask('eth_chainId')))
      // No account may only mean that it has not woken up yet.
      return [...(address === null ? [] : [{ addresses: [address] }]), ...(chainId === undefined ? [] : [{ chainId }])]
    },
    onNews: (tell) => {
      const accounts = (value: unknown) => {
        const address = firstOf(value)
        tell({ addresses: address === null ? [] : [address] })
      }
      const chain = (value: unknown) => {
        const chainId = chainNumber(value)
        if (chainId !== undefined) tell({ chainId })
      }
      provider.on?.('accountsChanged', accounts)
      provider.on?.('chainChanged', chain)
      return () => {
        provider.removeListener?.('accountsChanged', accounts)
        provider.removeListener?.('chainChanged', chain)
      }
    },
  }
}

/** Tells of each wallet that announces itself, now or later. */
export function announcedEvm(found: (wallet: Wallet) => void, place: Place = page()): () => void {
  const seen = new Set<string>()
  const listen = (event: Event) => {
    const { detail } = event as CustomEvent<unknown>
    if (!isAnnouncement(detail) || seen.has(detail.info.uuid)) return
    seen.add(detail.info.uuid)
    const { rdns, uuid, name, icon } = detail.info
    // The uuid is another one on each page.
    found(evmWallet(detail.provider, `evm:${nameOf(rdns, uuid)}`, nameOf(name, 'Wallet'), iconOf(icon)))
  }
  place.addEventListener('eip6963:announceProvider', listen)
  place.dispatchEvent(new Event('eip6963:requestProvider'))
  return () => place.removeEventListener('eip6963:announceProvider', listen)
}

/** The one wallet of a browser whose wallets do not announce themselves. */
export function injectedEvm(place: Place = page()): Wallet | null {
  const { ethereum } = place
  return isProvider(ethereum) ? evmWallet(ethereum, 'evm:injected', ethereum.isMetaMask ? 'MetaMask' : 'The wallet of this browser') : null
}
