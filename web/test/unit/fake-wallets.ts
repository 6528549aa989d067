// Wallets as they stand in a page, for tests of those that find, ask and follow them.
import { expect } from 'vitest'
import type { WalletRequest } from '~/api/types'
import { findWallets } from '~/wallet/find'
import type { Place, Wallet } from '~/wallet/wallet'

export const EVM = '0x71C7656EC7ab88b098defB751B7401B5f6d8976F'
export const SOLANA = '9C6hybhQ6Aycep9jaUnP6uL9ZYvDjUp1aSkFWPUFJtpj'
export const COSMOS = 'cosmos1qypqxpq9qcrsszg2pvxq6rs0zqg3yyc5lzv7xu'
export const MESSAGE = 'dgon.example wants you to sign in: é'

export const asked = (address: string, input: WalletRequest['solana_input'] = null): WalletRequest => ({ message: MESSAGE, address, solana_input: input, expires_at: '' })
export const coded = (code: number, message = 'no') => Object.assign(new Error(message), { code })

/** A page with what wallets put into it. */
export const placeWith = (globals: Record<string, unknown> = {}) => Object.assign(new EventTarget(), globals) as Place

export function found(place: Place, chains: string[] = []): Wallet[] {
  let wallets: Wallet[] = []
  findWallets(chains, (now) => (wallets = now), place)()
  return wallets
}

/** The one wallet that is there. */
export function only(place: Place, chains: string[] = []): Wallet {
  const wallets = found(place, chains)
  expect(wallets).toHaveLength(1)
  return wallets[0] as Wallet
}

export function evmProvider(answers: Record<string, unknown> = {}) {
  const calls: { method: string; params?: unknown[] }[] = []
  const listeners = new Map<string, (value: unknown) => void>()
  const all: Record<string, unknown> = { eth_requestAccounts: [EVM], eth_accounts: [EVM], eth_chainId: '0x2105', personal_sign: '0xabcd', ...answers }
  return {
    calls,
    say: (event: string, value: unknown) => listeners.get(event)?.(value),
    request: async (call: { method: string; params?: unknown[] }) => {
      calls.push(call)
      const answer = all[call.method]
      if (answer instanceof Error) throw answer
      return answer
    },
    on: (event: string, listener: (value: unknown) => void) => listeners.set(event, listener),
    removeListener: (event: string) => listeners.delete(event),
  }
}

export const announce = (place: Place, provider: unknown, info: object = {}) =>
  place.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: { info: { uuid: 'u1', name: 'Rabbit', icon: 'data:image/png;base64,AA==', rdns: 'com.rabbit', ...info }, provider } }))

export function standard(features: Record<string, unknown>, accounts: object[] = [{ address: SOLANA, chains: ['solana:mainnet', 'solana:devnet'] }]) {
  return { name: 'Ghost', icon: 'https://icons.example/ghost.png', chains: ['solana:mainnet'], accounts, features: { 'standard:connect': { connect: async () => ({ accounts }) }, ...features } }
}
export const register = (place: Place, wallet: unknown) => place.addEventListener('wallet-standard:app-ready', (event) => (event as CustomEvent<{ register: (one: unknown) => void }>).detail.register(wallet))
