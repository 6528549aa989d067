// One's own password and wallets. What is changed lasts as long as the development server.
import type { IncomingMessage } from 'node:http'
import type { AuthState, OwnIdentity, OwnWallet, WalletRequest } from '../src/api/types.ts'

const iso = (days: number) => new Date(Date.now() - 86_400_000 * days).toISOString()

export const authState: AuthState = { setup_needed: false, anonymous_overview: false, version: '0.1.0', wallets: true, cosmos_chains: ['cosmoshub-4'], issuers: [{ id: 'mock', name: 'Mock' }] }
export const own = { has_password: true }

let wallets: OwnWallet[] = [
  { kind: 'evm', address: '0x71C7656EC7ab88b098defB751B7401B5f6d8976F', linked_at: iso(40) },
  { kind: 'solana', address: '9C6hybhQ6Aycep9jaUnP6uL9ZYvDjUp1aSkFWPUFJtpj', linked_at: iso(2) },
]
let identities: OwnIdentity[] = [
  { id: 'i_1', issuer: 'https://mock.example', issuer_name: 'Mock', subject: '1234567', email: 'ada@mock.example', linked_at: iso(12) },
  { id: 'i_2', issuer: 'https://gone.example', issuer_name: null, subject: 'ada', email: null, linked_at: iso(300) },
]
let asked: { kind: string; address: string } = { kind: 'evm', address: '' }

async function bodyOf(request: IncomingMessage): Promise<Record<string, string>> {
  let text = ''
  for await (const part of request) text += String(part)
  return text ? (JSON.parse(text) as Record<string, string>) : {}
}

const toSign = (address: string): WalletRequest => ({
  message: `mock.example wants you to sign in with your account:\n${address}`,
  address,
  solana_input: null,
  expires_at: new Date(Date.now() + 300_000).toISOString(),
})

export const isOwn = (path: string) => /^\/(?:wallets|identities|auth\/nonce|auth\/oidc|users\/me\/password)(?:\/|$)/.test(path)

/** Answers what is the person's own, and believes every signature. */
export async function answerOwn(request: IncomingMessage, path: string, isEmpty: boolean): Promise<unknown> {
  const body = request.method === 'GET' ? {} : await bodyOf(request)
  if (path === '/auth/nonce') {
    asked = { kind: body.kind ?? 'evm', address: body.address ?? '' }
    return toSign(asked.address)
  }
  if (path.startsWith('/auth/oidc/')) return { url: '/account?problem=unavailable' }
  if (path.startsWith('/identities')) {
    if (request.method === 'DELETE') identities = identities.filter(({ id }) => !path.endsWith(`/${id}`))
    return { items: isEmpty ? [] : identities }
  }
  if (path === '/users/me/password') own.has_password = true
  if (request.method === 'POST') wallets = [...wallets, { ...asked, linked_at: iso(0) }]
  if (request.method === 'DELETE') {
    const [kind, address] = path.split('/').slice(2).map(decodeURIComponent)
    wallets = wallets.filter((one) => one.kind !== kind || one.address !== address)
  }
  return { items: isEmpty ? [] : wallets }
}
