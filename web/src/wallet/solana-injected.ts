// The one Solana wallet of a browser whose wallets know nothing of the wallet standard: what Phantom had before it.
import { utf8 } from '~/wallet/bytes'
import { WalletError, inWords } from '~/wallet/errors'
import { solanaAnswer } from '~/wallet/solana'
import { type Place, type Wallet, page, quietly } from '~/wallet/wallet'

type Key = { toString: () => string } | null | undefined

interface Injected {
  isPhantom?: boolean
  connect: (options?: { onlyIfTrusted: boolean }) => Promise<{ publicKey?: Key } | undefined>
  signMessage: (message: Uint8Array, display: 'utf8') => Promise<{ signature: unknown; publicKey?: Key }>
  publicKey?: Key
  on?: (event: string, listener: (key: Key) => void) => unknown
  off?: (event: string, listener: (key: Key) => void) => unknown
}

function isInjected(value: unknown): value is Injected {
  const { connect, signMessage } = (value ?? {}) as Partial<Injected>
  return typeof connect === 'function' && typeof signMessage === 'function'
}

export function injectedSolana(place: Place = page()): Wallet | null {
  const wallet = place.solana
  if (!isInjected(wallet)) return null
  const name = wallet.isPhantom ? 'Phantom' : 'The Solana wallet of this browser'
  const addressOf = (key: Key) => key?.toString() ?? wallet.publicKey?.toString()
  return {
    id: 'solana:injected',
    kind: 'solana',
    name,
    connect: () =>
      inWords(name, async () => {
        const address = addressOf((await wallet.connect())?.publicKey)
        if (!address) throw new WalletError('no-account', name)
        return { address, chainId: 'mainnet' }
      }),
    sign: ({ message, address }) =>
      inWords(name, async () => {
        const signed = await wallet.signMessage(utf8(message), 'utf8')
        return solanaAnswer(name, { address, message }, { address: addressOf(signed.publicKey) ?? address, message: utf8(message), signature: signed.signature })
      }),
    look: async () => {
      const address = (await quietly(() => wallet.connect({ onlyIfTrusted: true })))?.publicKey?.toString()
      return address ? [{ addresses: [address] }] : []
    },
    onNews: (tell) => {
      const changed = (key: Key) => tell({ addresses: key ? [key.toString()] : [] })
      const gone = () => tell({ addresses: [] })
      wallet.on?.('accountChanged', changed)
      wallet.on?.('disconnect', gone)
      return () => {
        wallet.off?.('accountChanged', changed)
        wallet.off?.('disconnect', gone)
      }
    },
  }
}
