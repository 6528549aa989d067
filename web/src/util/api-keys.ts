// What API keys may do and spend, in words and numbers.
import type { ApiKeyScope, ApiKeyState } from '~/api/types'
import { posix } from '~/util/install'

interface Call {
  path: string
  /** What is posted; nothing for what is read. */
  body?: object
}

interface ScopeWords {
  meaning: string
  /** Roles of which one is needed. */
  roles: readonly ('consumer' | 'operator')[]
  /** A call that it allows; null while nothing takes it. */
  example: Call | null
}

const scope = (meaning: string, roles: ScopeWords['roles'], example: Call | null = null): ScopeWords => ({ meaning, roles, example })

/** In the order of the form: what is in use first, and of that what only reads. */
export const SCOPES = {
  'receipts.read': scope("Read the organisation's receipts, and what verifies them.", ['consumer', 'operator'], { path: '/receipts?limit=1' }),
  'nodes.read': scope("Read the state of the organisation's nodes.", ['operator'], { path: '/nodes?owner=self' }),
  'nodes.control': scope("Tell the organisation's nodes to look at their machine again.", ['operator'], { path: '/nodes/NODE_ID/actions', body: { action: 'refresh', reason: 'A new GPU' } }),
  'enrolment.write': scope('Make enrolment tokens, for machines that set themselves up.', ['operator'], { path: '/enrolment-tokens', body: { uses: 1 } }),
  gateway: scope('Send requests to models.', ['consumer']),
  'usage.read': scope('Read what was used.', ['consumer']),
  'leases.read': scope('Read leases.', ['consumer']),
  'leases.write': scope('Rent and give back.', ['consumer']),
  'earnings.read': scope('Read earnings.', ['operator']),
  'jobs.read': scope('Read jobs.', ['consumer', 'operator']),
  'jobs.write': scope('Submit and cancel jobs.', ['consumer', 'operator']),
} as const satisfies Record<ApiKeyScope, ScopeWords>

export const SCOPE_NAMES = Object.keys(SCOPES) as ApiKeyScope[]

/** Whether something takes it today. */
export const isInUse = (name: ApiKeyScope) => SCOPES[name].example !== null

/** Why somebody with these roles cannot give a key this; null where they can. */
export function whyNotGiven(name: ApiKeyScope, roles: readonly string[]): string | null {
  const needed: readonly string[] = SCOPES[name].roles
  if (roles.includes('admin') || needed.some((role) => roles.includes(role))) return null
  return `Needs the role ${needed.join(' or ')} in the organisation that you act for.`
}

export const STATE_WORDS = { active: null, expired: 'Expired', revoked: 'Revoked', closed: 'Organisation closed' } as const satisfies Record<ApiKeyState, string | null>

const NANO_DIGITS = 9
const NANO = 10n ** BigInt(NANO_DIGITS)
const MAX = 2n ** 63n - 1n
const CENT_DIGITS = 2

/** Dollars as somebody writes them, in billionths; null for what is no such number. */
export function nanoUsd(text: string): string | null {
  const found = /^\$?(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text.trim())
  if (!found) return null
  const nano = BigInt(found[1] ?? 0) * NANO + BigInt((found[2] ?? '').padEnd(NANO_DIGITS, '0'))
  return nano <= MAX ? String(nano) : null
}

/** Billionths of a dollar as dollars, exactly. */
export function dollars(nano: string): string {
  const all = BigInt(nano)
  const cents = String(all % NANO).padStart(NANO_DIGITS, '0').replace(/0+$/, '').padEnd(CENT_DIGITS, '0')
  return `$${(all / NANO).toLocaleString('en-US')}.${cents}`
}

/** Ids of models as somebody writes them: with commas or on lines of their own. */
export function modelIds(text: string): string[] {
  const ids = text.split(/[,\n]/).map((id) => id.trim())
  return [...new Set(ids.filter(Boolean))]
}

/** What a program sends, with the key from its surroundings and never in the command itself; null where nothing takes such a key yet. */
export function curlExample(origin: string, scopes: readonly ApiKeyScope[]): string | null {
  const name = SCOPE_NAMES.find((one) => scopes.includes(one) && isInUse(one))
  const example = name && SCOPES[name].example
  if (!example) return null
  const post = example.body ? ` -H "Content-Type: application/json" -d ${posix(JSON.stringify(example.body))}` : ''
  return `curl -H "Authorization: Bearer $DGON_API_KEY"${post} ${posix(`${origin}/api/v1${example.path}`)}`
}
