// Making an account, and what is one's own: password, second factor, wallets, all one's data. What is changed lasts as long as the development server.
import type { IncomingMessage } from 'node:http'
import type { AuthState, Export, OwnIdentity, OwnWallet, RecoveryCodes, SecondFactor, SecondFactorOffer, WalletRequest } from '../src/api/types.ts'
import { type Refusal, me, orgs, refuse, users } from './people.ts'

const iso = (days: number) => new Date(Date.now() - 86_400_000 * days).toISOString()

export const authState: AuthState = { setup_needed: false, anonymous_overview: false, open_registration: true, version: '0.1.0', wallets: true, cosmos_chains: ['cosmoshub-4'], issuers: [{ id: 'mock', name: 'Mock' }] }
export const own: { has_password: boolean; second_factor: SecondFactor | null } = { has_password: true, second_factor: null }

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

const SECRET = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'
let codes: string[] = []
let renewals = 0

function newCodes(): RecoveryCodes {
  renewals += 1
  codes = Array.from({ length: 10 }, (_, i) => `8f3k${renewals % 10}-m9qt${i}`)
  return { recovery_codes: codes }
}

const offer = (): SecondFactorOffer => ({
  secret: SECRET,
  uri: `otpauth://totp/DGON:ana%40example.org?secret=${SECRET}&issuer=DGON&algorithm=SHA1&digits=6&period=30`,
  sealed: 'mock',
  expires_at: new Date(Date.now() + 900_000).toISOString(),
})

/** Any six digits are right, but 000000 is wrong, 111111 comes too often and 222222 too late. A recovery code is good once. */
function refusalOf(code: string): Refusal | null {
  if (/^\d{6}$/.test(code)) {
    if (code === '111111') return refuse(429, 'rate_limited', 'this was tried too often for one account; try again in 312 s')
    if (code === '222222') return refuse(401, 'invalid_token', 'this took too long, or was begun elsewhere; begin again')
    return code === '000000' ? refuse(400, 'invalid_request', 'that code is not right, or no longer: enter the one that the app shows now', { field: 'code' }) : null
  }
  if (!codes.includes(code)) return refuse(400, 'invalid_request', 'that is none of your recovery codes, or you used it before; enter another one', { field: 'code' })
  codes = codes.filter((one) => one !== code)
  if (own.second_factor) own.second_factor.recovery_codes_left = codes.length
  return null
}

/** Signing in, and the second factor; nothing where it is neither. */
function answerFactor(method: string, path: string, { code = '' }: Record<string, string>): unknown {
  const name = `${method} ${path}`
  if (/^POST \/auth\/(?:login|redeem|wallet)$/.test(name)) return own.second_factor ? refuse(401, 'second_factor_needed', 'enter the code that your authenticator app shows now') : { ...me(), ...own }
  if (name === 'POST /users/me/second-factor/offer') return own.second_factor ? refuse(409, 'conflict', 'this account asks for a code already') : offer()
  if (!path.includes('/second-factor')) return undefined
  const refusal = refusalOf(code)
  if (refusal) return refusal
  if (path === '/auth/second-factor') return { ...me(), ...own }
  const isOff = path.endsWith('/remove')
  own.second_factor = isOff ? null : { since: own.second_factor?.since ?? iso(0), recovery_codes_left: 10 }
  return isOff ? {} : newCodes()
}

/** An account is made where neither its address nor its organisation is somebody else's. */
function register({ email = '', organisation = '' }: Record<string, string>): unknown {
  if (!email.includes('.')) return refuse(400, 'invalid_request', 'this is not an email address', { field: 'email' })
  if (!organisation.trim()) return refuse(400, 'invalid_request', 'the name of an organisation has 1 to 64 characters, all of which can be seen', { field: 'name' })
  if (users.some((user) => user.email === email)) return refuse(409, 'conflict', 'there is a user with this email already')
  if (orgs.some(({ name }) => name === organisation)) return refuse(409, 'conflict', 'there is an organisation of this name already')
  return { ...me(), ...own, email }
}

/** Whoever acts for the organisation in which they are an admin sees the refusal, and as a viewer the end of the account. */
function deleteMe({ email = '' }: Record<string, string>): unknown {
  const { email: theirs, roles } = me()
  if (email.trim().toLowerCase() !== theirs) return refuse(400, 'invalid_request', 'this is not the address of your account; type it as it stands there', { field: 'email' })
  return roles.includes('admin') ? refuse(409, 'conflict', 'you administer this network; ask another admin to take that role from you first') : {}
}

function exported(isEmpty: boolean): Export {
  const { user_id, email, memberships } = me()
  return { exported_at: iso(0), user_id, email, created_at: iso(200), last_sign_in_at: iso(0.1), ...own, memberships, wallets: isEmpty ? [] : wallets, identities: isEmpty ? [] : identities, keys: [], assignments: [], sessions: [], done: [], done_to: [], is_cut: false }
}

/** Making an account, and all that is kept of one; nothing where it is neither. */
function answerData(name: string, body: Record<string, string>, isEmpty: boolean): unknown {
  if (name === 'POST /auth/register') return register(body)
  if (name === 'GET /users/me') return { ...me(), ...own }
  if (name === 'DELETE /users/me') return deleteMe(body)
  if (name === 'GET /users/me/export') return exported(isEmpty)
  return undefined
}

export const isOwn = (path: string) => /^\/(?:wallets|identities|auth\/(?:nonce|oidc|login|redeem|register|wallet|second-factor)|users\/me)(?:\/|$)/.test(path)

/** Answers what is the person's own, and believes every signature. */
export async function answerOwn(request: IncomingMessage, path: string, isEmpty: boolean): Promise<unknown> {
  const body = request.method === 'GET' ? {} : await bodyOf(request)
  const factor = answerFactor(request.method ?? 'GET', path, body)
  if (factor !== undefined) return factor
  const data = answerData(`${request.method} ${path}`, body, isEmpty)
  if (data !== undefined) return data
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
