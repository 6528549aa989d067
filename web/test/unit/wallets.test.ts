import { beforeEach, describe, expect, test, vi } from 'vitest'
import { kindWord, shortAddress } from '~/util/wallets'
import { walletError } from '~/wallet/errors'
import { findWallets } from '~/wallet/find'
import type { Place } from '~/wallet/wallet'
import { COSMOS, EVM, MESSAGE, SOLANA, announce, asked, coded, evmProvider, found, only, placeWith, register, standard } from './fake-wallets'

let place: Place
const put = (globals: Record<string, unknown>) => Object.assign(place, globals)
beforeEach(() => {
  place = placeWith()
})

describe('wallets are found', () => {
  test('none where there is none', () => {
    expect(found(place, ['cosmoshub-4'])).toEqual([])
    put({ ethereum: {}, solana: { connect: 1 }, keplr: { enable: () => {} } })
    expect(found(place, ['cosmoshub-4'])).toEqual([])
  })

  test('those that announce themselves, once each, before the one of the window', () => {
    put({ ethereum: evmProvider() })
    expect(only(place)).toMatchObject({ id: 'evm:injected', name: 'The wallet of this browser' })
    place.addEventListener('eip6963:requestProvider', () => {
      announce(place, evmProvider())
      announce(place, evmProvider())
      announce(place, evmProvider(), { uuid: 'u2', name: ' '.repeat(3), rdns: 'org.other', icon: 'https://icons.example/x.png' })
      announce(place, {}, { uuid: 'u3' })
    })
    expect(found(place).map(({ id, name, icon }) => ({ id, name, icon }))).toEqual([
      { id: 'evm:com.rabbit', name: 'Rabbit', icon: 'data:image/png;base64,AA==' },
      { id: 'evm:org.other', name: 'Wallet', icon: undefined },
    ])
  })

  test('one that comes late', () => {
    const told: number[] = []
    const stop = findWallets([], (wallets) => told.push(wallets.length), place)
    announce(place, evmProvider())
    const late = standard({ 'solana:signMessage': {} })
    place.dispatchEvent(new CustomEvent('wallet-standard:register-wallet', { detail: ({ register: add }: { register: (one: unknown) => void }) => add(late) }))
    stop()
    announce(place, evmProvider(), { uuid: 'u9' })
    expect(told).toEqual([0, 1, 2])
  })

  test('of the standard those that can sign for Solana; an icon is never fetched', () => {
    register(place, standard({}))
    register(place, { ...standard({ 'solana:signMessage': {} }), chains: ['sui:mainnet'] })
    register(place, standard({ 'solana:signMessage': {} }))
    put({ solana: { isPhantom: true, connect: () => {}, signMessage: () => {} } })
    expect(only(place)).toMatchObject({ id: 'solana:Ghost', icon: undefined })
  })

  test('those of Cosmos once for each chain', () => {
    const keplr = { enable: () => {}, getKey: () => {}, signArbitrary: () => {} }
    put({ keplr, leap: keplr })
    expect(found(place, ['cosmoshub-4', 'osmosis-1']).map(({ name }) => name)).toEqual(['Keplr, cosmoshub-4', 'Keplr, osmosis-1', 'Leap, cosmoshub-4', 'Leap, osmosis-1'])
  })
})

describe('Ethereum', () => {
  test('signs the bytes of the text with the account that was asked for', async () => {
    const ethereum = evmProvider()
    put({ ethereum })
    const wallet = only(place)
    expect(await wallet.connect()).toEqual({ address: EVM, chainId: '8453' })
    expect(await wallet.sign(asked(EVM))).toEqual({ signature: '0xabcd' })
    const [hex = '', address] = (ethereum.calls.at(-1)?.params ?? []) as string[]
    expect(Buffer.from(hex.slice(2), 'hex').toString()).toBe(MESSAGE)
    expect(address).toBe(EVM)
  })

  test.each([
    [coded(4001), 'You declined in'],
    [coded(-32_002), 'still waits for an answer'],
    [coded(4100), 'has another account open'],
    [new Error('Wallet is locked'), 'is locked'],
    [new Error('quota'), 'failed: quota'],
  ])('%s is told in words', async (thrown, words) => {
    put({ ethereum: evmProvider({ personal_sign: thrown, eth_requestAccounts: thrown }) })
    await expect(only(place).sign(asked(EVM))).rejects.toThrow(words)
    await expect(only(place).connect()).rejects.toThrow(words)
  })

  test('no account is said', async () => {
    put({ ethereum: evmProvider({ eth_requestAccounts: [] }) })
    await expect(only(place).connect()).rejects.toThrow('gave no account')
  })
})

describe('Solana', () => {
  const signature = new Uint8Array(64).fill(7)
  const base64 = Buffer.from(signature).toString('base64')

  test('signs in by its own form, where it has one', async () => {
    const signIn = vi.fn(async () => [{ account: { address: SOLANA }, signedMessage: Buffer.from(MESSAGE), signature }])
    register(place, standard({ 'solana:signIn': { signIn }, 'solana:signMessage': {} }))
    const wallet = only(place)
    expect(await wallet.connect()).toEqual({ address: SOLANA, chainId: 'mainnet' })
    const input = {
      domain: 'dgon.example', address: SOLANA, statement: 'Sign in.', uri: 'https://dgon.example', version: '1', chainId: 'mainnet',
      nonce: 'abc', issuedAt: '2026-11-21T00:00:00.000Z', expirationTime: '2026-11-21T00:05:00.000Z',
    }
    expect(await wallet.sign(asked(SOLANA, input))).toEqual({ signature: base64, message: MESSAGE })
    expect(signIn).toHaveBeenCalledWith(input)
  })

  test('else signs the text; another text or account is not sent', async () => {
    const signMessage = vi.fn(async ({ message }: { message: Uint8Array }) => [{ signedMessage: message, signature }])
    register(place, standard({ 'solana:signMessage': { signMessage } }))
    const wallet = only(place)
    await wallet.connect()
    expect(await wallet.sign(asked(SOLANA))).toEqual({ signature: base64, message: MESSAGE })
    await expect(wallet.sign(asked('another'))).rejects.toThrow('has another account open')
    signMessage.mockResolvedValueOnce([{ signedMessage: Buffer.from('prefixed'), signature }])
    await expect(wallet.sign(asked(SOLANA))).rejects.toThrow('signed another text')
  })

  test('the one of the window', async () => {
    const publicKey = { toString: () => SOLANA }
    const solana = { isPhantom: true, connect: vi.fn(async () => ({ publicKey })), signMessage: vi.fn(async () => ({ signature, publicKey })) }
    put({ solana })
    const wallet = only(place)
    expect(await wallet.connect()).toEqual({ address: SOLANA, chainId: 'mainnet' })
    expect(await wallet.sign(asked(SOLANA))).toEqual({ signature: base64, message: MESSAGE })
    solana.signMessage.mockRejectedValueOnce(coded(4001))
    await expect(wallet.sign(asked(SOLANA))).rejects.toThrow('You declined in Phantom')
  })
})

test('Cosmos: the signature with its key, and only by the account that was asked for', async () => {
  const keplr = {
    enable: vi.fn(async () => {}),
    getKey: vi.fn(async () => ({ bech32Address: COSMOS })),
    signArbitrary: vi.fn(async () => ({ signature: 'c2ln', pub_key: { type: 'tendermint/PubKeySecp256k1', value: 'a2V5' } })),
  }
  put({ keplr })
  const wallet = only(place, ['cosmoshub-4'])
  expect(await wallet.connect()).toEqual({ address: COSMOS, chainId: 'cosmoshub-4' })
  expect(keplr.enable).toHaveBeenCalledWith('cosmoshub-4')
  expect(await wallet.sign(asked(COSMOS))).toEqual({ signature: 'c2ln', public_key: 'a2V5' })
  expect(keplr.signArbitrary).toHaveBeenCalledWith('cosmoshub-4', COSMOS, MESSAGE)
  keplr.getKey.mockResolvedValueOnce({ bech32Address: 'cosmos1another' })
  await expect(wallet.sign(asked(COSMOS))).rejects.toThrow('has another account open')
  keplr.signArbitrary.mockRejectedValueOnce(new Error('Request rejected'))
  await expect(wallet.sign(asked(COSMOS))).rejects.toThrow('You declined in Keplr')
})

test('an address is shown by both its ends, a kind in words', () => {
  expect(shortAddress(EVM)).toBe('0x71C7656…5f6d8976F')
  expect(shortAddress('0x12')).toBe('0x12')
  expect(['evm', 'solana', 'cosmos', 'bitcoin'].map(kindWord)).toEqual(['Ethereum (EVM)', 'Solana', 'Cosmos', 'bitcoin'])
})

test('what says nothing is a failure that says nothing', () => {
  expect(walletError(undefined, 'Rabbit').message).toBe('Rabbit failed and does not say why.')
  expect(walletError('User denied', 'Rabbit').trouble).toBe('declined')
})
