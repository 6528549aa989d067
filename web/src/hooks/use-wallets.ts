import { useEffect, useState } from 'react'
import { findWallets } from '~/wallet/find'
import type { Wallet } from '~/wallet/wallet'

/** The wallets of this browser; they come when they like. */
export function useWallets(cosmosChains: readonly string[]): Wallet[] {
  const [wallets, setWallets] = useState<Wallet[]>([])
  const chains = cosmosChains.join(' ')
  useEffect(() => findWallets(chains ? chains.split(' ') : [], setWallets), [chains])
  return wallets
}
