// Wallets of chains of the Cosmos SDK: Keplr, and Leap, which speaks like it.
import { WalletError, inWords } from '~/wallet/errors'
import { type Place, type Wallet, page, quietly } from '~/wallet/wallet'

interface Keplr {
  enable: (chainId: string) => Promise<void>
  getKey: (chainId: string) => Promise<{ bech32Address: string }>
  signArbitrary: (chainId: string, signer: string, text: string) => Promise<{ signature: string; pub_key: { value: string } }>
}

const KNOWN = [
  { at: 'keplr', name: 'Keplr', changed: 'keplr_keystorechange' },
  { at: 'leap', name: 'Leap', changed: 'leap_keystorechange' },
] as const

function isKeplr(value: unknown): value is Keplr {
  const { enable, getKey, signArbitrary } = (value ?? {}) as Partial<Keplr>
  return [enable, getKey, signArbitrary].every((one) => typeof one === 'function')
}

function cosmosWallet(keplr: Keplr, { at, name, changed }: (typeof KNOWN)[number], chainId: string, place: Place): Wallet {
  const addressNow = async () => (await keplr.getKey(chainId)).bech32Address
  return {
    id: `cosmos:${at}:${chainId}`,
    kind: 'cosmos',
    name: `${name}, ${chainId}`,
    connect: () =>
      inWords(name, async () => {
        await keplr.enable(chainId)
        const address = await addressNow()
        if (!address) throw new WalletError('no-account', name)
        return { address, chainId }
      }),
    sign: ({ message, address }) =>
      inWords(name, async () => {
        if ((await addressNow()) !== address) throw new WalletError('other-account', name)
        const { signature, pub_key: key } = await keplr.signArbitrary(chainId, address, message)
        return { signature, public_key: key.value }
      }),
    // It says nothing without asking to be unlocked.
    look: async () => [],
    onNews: (tell) => {
      const listen = async () => {
        const address = await quietly(addressNow)
        tell({ addresses: address ? [address] : [] })
      }
      const listener = () => void listen()
      place.addEventListener(changed, listener)
      return () => place.removeEventListener(changed, listener)
    },
  }
}

/** Each of them once for each chain that the server knows: an address is of one chain. */
export const cosmosWallets = (chains: readonly string[], place: Place = page()): Wallet[] =>
  KNOWN.flatMap((known) => {
    const keplr = place[known.at]
    return isKeplr(keplr) ? chains.map((chainId) => cosmosWallet(keplr, known, chainId, place)) : []
  })
