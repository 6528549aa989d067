import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { enterCode } from '~/api/sign-in'
import { walletSignIn } from '~/api/wallets'
import { session, signedOut } from '~/stores/session'
import { type WalletSession, walletOf } from '~/stores/wallet-session'
import { followWallet, whatChanged } from '~/wallet/follow'
import type { Place, Wallet } from '~/wallet/wallet'
import { COSMOS, EVM, SOLANA, asked, evmProvider, only, placeWith, register, standard } from './fake-wallets'

let place: Place
const put = (globals: Record<string, unknown>) => Object.assign(place, globals)
beforeEach(() => {
  place = placeWith()
})

describe('the wallet of a session', () => {
  const evm: WalletSession = { userId: 'u', walletId: 'evm:injected', kind: 'evm', name: 'Rabbit', address: EVM, chainId: '1' }
  const settled = () => new Promise((resolve) => setTimeout(resolve))

  test('the same account in other letters is the same; others, none and another chain are not', () => {
    expect(whatChanged(evm, { addresses: [EVM.toLowerCase()] })).toBeNull()
    expect(whatChanged({ ...evm, kind: 'solana', address: SOLANA }, { addresses: ['x', SOLANA] })).toBeNull()
    expect(whatChanged({ ...evm, kind: 'solana', address: SOLANA }, { addresses: [SOLANA.toLowerCase()] })).toContain('another account')
    expect(whatChanged(evm, { addresses: [] })).toContain('was locked')
    expect(whatChanged(evm, { chainId: '1' })).toBeNull()
    expect(whatChanged(evm, { chainId: '10' })).toContain('another chain')
    expect(whatChanged({ ...evm, chainId: undefined }, { chainId: '10' })).toBeNull()
  })

  test('is told once when it changes, and not after it was let go', async () => {
    const ethereum = evmProvider({ eth_chainId: '0x1' })
    put({ ethereum })
    const changed = vi.fn()
    followWallet(evm, changed, place)
    await settled()
    ethereum.say('accountsChanged', [EVM])
    expect(changed).not.toHaveBeenCalled()
    ethereum.say('chainChanged', '0xa')
    ethereum.say('accountsChanged', [])
    expect(changed).toHaveBeenCalledTimes(1)
    const stop = followWallet(evm, changed, place)
    await settled()
    stop()
    ethereum.say('accountsChanged', [])
    expect(changed).toHaveBeenCalledTimes(1)
  })

  test('what changed while no page was open is seen; a wallet that is still asleep is no change', async () => {
    const changed = vi.fn()
    put({ ethereum: evmProvider({ eth_chainId: '0x1', eth_accounts: [] }) })
    followWallet(evm, changed, place)
    await settled()
    expect(changed).not.toHaveBeenCalled()
    put({ ethereum: evmProvider({ eth_chainId: '0x1', eth_accounts: ['0x0000000000000000000000000000000000000001'] }) })
    followWallet(evm, changed, place)
    await settled()
    expect(changed).toHaveBeenCalledWith(expect.stringContaining('another account'))
  })

  test('those of Solana and Cosmos say it their own way', async () => {
    let change: (news: { accounts: object[] }) => void = () => {}
    register(place, standard({ 'solana:signMessage': {}, 'standard:events': { on: (_: string, listener: typeof change) => { change = listener; return () => {} } } }))
    const changed = vi.fn()
    followWallet({ ...evm, walletId: 'solana:Ghost', kind: 'solana', address: SOLANA, chainId: 'mainnet' }, changed, place)
    await settled()
    change({ accounts: [{ address: SOLANA }] })
    expect(changed).not.toHaveBeenCalled()
    change({ accounts: [{ address: 'another' }] })
    expect(changed).toHaveBeenCalledTimes(1)

    const getKey = vi.fn(async () => ({ bech32Address: COSMOS }))
    put({ keplr: { enable: () => {}, signArbitrary: () => {}, getKey } })
    followWallet({ ...evm, walletId: 'cosmos:keplr:cosmoshub-4', kind: 'cosmos', address: COSMOS, chainId: 'cosmoshub-4' }, changed, place)
    await settled()
    place.dispatchEvent(new Event('keplr_keystorechange'))
    await settled()
    expect(changed).toHaveBeenCalledTimes(1)
    getKey.mockResolvedValue({ bech32Address: 'cosmos1another' })
    place.dispatchEvent(new Event('keplr_keystorechange'))
    await settled()
    expect(changed).toHaveBeenCalledTimes(2)
  })
})

describe('signing in', () => {
  const sent: string[] = []
  beforeEach(() => {
    sent.length = 0
    vi.stubGlobal('fetch', async (path: string) => {
      sent.push(path)
      return path.endsWith('/nonce') ? Response.json(asked(EVM)) : Response.json({ error: { type: 'unauthorized', message: 'no', request_id: 'r', details: {} } }, { status: 401 })
    })
  })
  afterEach(() => vi.unstubAllGlobals())

  test('an answer that comes after the wish was taken back is not sent', async () => {
    const stopped = new AbortController()
    const wallet: Wallet = {
      ...({ id: 'w', kind: 'evm', name: 'Rabbit', look: async () => [], onNews: () => () => {} } as const),
      connect: async () => ({ address: EVM }),
      sign: async () => {
        stopped.abort()
        return { signature: '0x' }
      },
    }
    await expect(walletSignIn(wallet, { tell: () => {}, signal: stopped.signal })).rejects.toThrow()
    expect(sent).toEqual(['/api/v1/auth/nonce'])
  })

  test('a wallet that is nobody’s says what to do, and asks for no renewal of a session', async () => {
    put({ ethereum: evmProvider() })
    await expect(walletSignIn(only(place), { tell: () => {}, signal: new AbortController().signal })).rejects.toThrow('linked to no open account here')
    expect(sent).toEqual(['/api/v1/auth/nonce', '/api/v1/auth/wallet'])
    expect(session.get().kind).not.toBe('signed-in')
  })
  test('a code in between: the wallet is known once the code was right, before the page hears of the session', async () => {
    const kept = new Map<string, string>()
    vi.stubGlobal('sessionStorage', { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value), removeItem: () => {} })
    vi.stubGlobal('fetch', async (path: string) => {
      if (path.endsWith('/nonce')) return Response.json(asked(EVM))
      if (path.endsWith('/second-factor')) return Response.json({ user_id: 'u_1' })
      return Response.json({ error: { type: 'second_factor_needed', message: 'code', request_id: 'r', details: {} } }, { status: 401 })
    })
    put({ ethereum: evmProvider() })
    const pending = await walletSignIn(only(place), { tell: () => {}, signal: new AbortController().signal })
    expect([session.get().kind === 'signed-in', walletOf('u_1'), pending === null]).toEqual([false, null, false])
    const followed: unknown[] = []
    const stop = session.subscribe(() => followed.push(walletOf('u_1')?.address))
    if (pending) await enterCode(pending, '123456')
    stop()
    expect(followed).toEqual([EVM])
    signedOut()
  })
})
