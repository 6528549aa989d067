// Wallets in a page whose keys stay with the test, and sign for real.
import { type BrowserContext, type Page } from '@playwright/test'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { ripemd160 } from '@noble/hashes/legacy.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bech32 } from '@scure/base'
import { getAddressFromPublicKey } from '@solana/addresses'
import { generateKeyPair, signBytes } from '@solana/keys'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

const DECLINED = 'declined'

export interface EvmWallet {
  address: string
  /** The next that it is asked to sign it refuses, as a person does. */
  decline: () => void
  /** Opens another account, or a chain, as a person does in the wallet. */
  say: (page: Page, event: 'accountsChanged' | 'chainChanged', value: unknown) => Promise<void>
}

/** An extension with one EVM account, which announces itself to each page of the context. */
export async function addEvmWallet(context: BrowserContext, name = 'Test Wallet'): Promise<EvmWallet> {
  const account = privateKeyToAccount(generatePrivateKey())
  let declines = false
  await context.exposeFunction('signAsEvm', (hex: `0x${string}`, by: string) => {
    const isRefused = declines || by.toLowerCase() !== account.address.toLowerCase()
    declines = false
    return isRefused ? DECLINED : account.signMessage({ message: { raw: hex } })
  })
  await context.addInitScript(
    ({ address, walletName, declined }) => {
      const listeners: Record<string, ((value: unknown) => void)[]> = {}
      const { signAsEvm } = globalThis as unknown as { signAsEvm: (hex: string, by: string) => Promise<string> }
      const refuse = () => Promise.reject(Object.assign(new Error('User rejected the request.'), { code: 4001 }))
      const provider = {
        request: async ({ method, params }: { method: string; params?: [string, string] }) => {
          if (method === 'eth_requestAccounts' || method === 'eth_accounts') return [address]
          if (method === 'eth_chainId') return '0x1'
          const signature = params ? await signAsEvm(...params) : declined
          return signature === declined ? refuse() : signature
        },
        on: (event: string, listener: (value: unknown) => void) => (listeners[event] ??= []).push(listener),
        removeListener: (event: string, listener: (value: unknown) => void) => {
          listeners[event] = (listeners[event] ?? []).filter((one) => one !== listener)
        },
      }
      const detail = Object.freeze({ info: { uuid: crypto.randomUUID(), name: walletName, icon: '', rdns: 'org.example.wallet' }, provider })
      const announce = () => dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }))
      addEventListener('eip6963:requestProvider', announce)
      announce()
      Object.assign(globalThis, { sayAsEvm: (event: string, value: unknown) => listeners[event]?.forEach((listener) => listener(value)) })
    },
    { address: account.address as string, walletName: name, declined: DECLINED },
  )
  return {
    address: account.address,
    decline: () => {
      declines = true
    },
    say: (page, event, value) => page.evaluate(([what, of]) => (globalThis as unknown as { sayAsEvm: (event: unknown, value: unknown) => void }).sayAsEvm(what, of), [event, value] as const),
  }
}

/** A wallet of the Solana wallet standard that signs texts. */
export async function addSolanaWallet(context: BrowserContext): Promise<{ address: string }> {
  const { privateKey, publicKey } = await generateKeyPair()
  const address: string = await getAddressFromPublicKey(publicKey)
  await context.exposeFunction('signAsSolana', async (bytes: number[]) => [...(await signBytes(privateKey, Uint8Array.from(bytes)))])
  await context.addInitScript((of) => {
    const { signAsSolana } = globalThis as unknown as { signAsSolana: (bytes: number[]) => Promise<number[]> }
    const accounts = [{ address: of, chains: ['solana:mainnet'] }]
    const wallet = {
      version: '1.0.0',
      name: 'Test Sun',
      icon: '',
      chains: ['solana:mainnet'],
      accounts,
      features: {
        'standard:connect': { connect: async () => ({ accounts }) },
        'standard:events': { on: () => () => {} },
        'solana:signMessage': {
          signMessage: async ({ message }: { message: Uint8Array }) => [{ signedMessage: message, signature: Uint8Array.from(await signAsSolana([...message])) }],
        },
      },
    }
    const register = (api: { register: (one: unknown) => void }) => api.register(wallet)
    addEventListener('wallet-standard:app-ready', (event) => register((event as CustomEvent<{ register: (one: unknown) => void }>).detail))
    dispatchEvent(new CustomEvent('wallet-standard:register-wallet', { detail: register }))
  }, address)
  return { address }
}

export interface Signer {
  kind: string
  address: string
  /** What `POST /auth/wallet` takes of it. */
  answer: (message: string) => Promise<Record<string, string>>
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

export function evmSigner(): Signer {
  const account = privateKeyToAccount(generatePrivateKey())
  return { kind: 'evm', address: account.address, answer: async (message) => ({ signature: await account.signMessage({ message }) }) }
}

export async function solanaSigner(): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair()
  return { kind: 'solana', address: await getAddressFromPublicKey(publicKey), answer: async (message) => ({ signature: base64(await signBytes(privateKey, new TextEncoder().encode(message))) }) }
}

/** Signs as Keplr's `signArbitrary` does: the document of ADR-36 around the text. */
export function cosmosSigner(): Signer {
  const { secretKey, publicKey } = secp256k1.keygen()
  const address = bech32.encode('cosmos', bech32.toWords(ripemd160(sha256(publicKey))))
  const answer = async (message: string) => {
    const value = { data: Buffer.from(message).toString('base64'), signer: address }
    const document = { account_number: '0', chain_id: '', fee: { amount: [], gas: '0' }, memo: '', msgs: [{ type: 'sign/MsgSignData', value }], sequence: '0' }
    return { signature: base64(secp256k1.sign(new TextEncoder().encode(JSON.stringify(document)), secretKey)), public_key: base64(publicKey) }
  }
  return { kind: 'cosmos', address, answer }
}
