import { cosmosWallets } from '~/wallet/cosmos'
import { announcedEvm, injectedEvm } from '~/wallet/evm'
import { standardSolana } from '~/wallet/solana'
import { injectedSolana } from '~/wallet/solana-injected'
import { type Place, type Wallet, page } from '~/wallet/wallet'

const orInjected = (found: Wallet[], injected: Wallet | null) => (found.length > 0 || !injected ? found : [injected])

/** Tells which wallets there are: at once, and again with each that comes later. */
export function findWallets(cosmosChains: readonly string[], tell: (wallets: Wallet[]) => void, place: Place = page()): () => void {
  const [evm, solana]: [Wallet[], Wallet[]] = [[], []]
  let isListening = false
  const say = () => {
    if (isListening) tell([...orInjected(evm, injectedEvm(place)), ...orInjected(solana, injectedSolana(place)), ...cosmosWallets(cosmosChains, place)])
  }
  const into = (list: Wallet[]) => (wallet: Wallet) => {
    list.push(wallet)
    say()
  }
  const stops = [announcedEvm(into(evm), place), standardSolana(into(solana), place)]
  isListening = true
  say()
  return () => stops.forEach((stop) => stop())
}
