import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createKey, revokeKey } from '~/api/keys'
import { query, queryClient } from '~/api/queries'
import type { ApiKey } from '~/api/types'
import { limitsText } from '~/table/key-columns'
import { SCOPE_NAMES, curlExample, dollars, isInUse, modelIds, nanoUsd, whyNotGiven } from '~/util/api-keys'

const row = (id: string, change: Partial<ApiKey> = {}): ApiKey => ({
  id,
  prefix: `dgon_sk_live_${id}_`,
  name: id,
  user_id: 'u_1',
  org_id: 'main',
  org_name: 'main',
  scopes: ['nodes.read'],
  models: null,
  budget_nano_usd: null,
  state: 'active',
  created_at: '2026-11-10T10:00:00.000Z',
  expires_at: '2026-12-10T10:00:00.000Z',
  revoked_at: null,
  last_used_at: null,
  last_used_ip: null,
  ...change,
})

const { queryKey } = query.keys({})
const states = () => queryClient.getQueryData(queryKey)?.items.map(({ id, state }) => `${id} ${state}`)
const asked: { method: string; path: string }[] = []
let answer: () => Response

beforeEach(() => {
  asked.length = 0
  vi.stubGlobal('fetch', async (path: string, { method }: RequestInit) => {
    asked.push({ method: String(method), path })
    return answer()
  })
  queryClient.setQueryData(queryKey, { items: [row('a'), row('b/1')], next_cursor: null, total: null })
})
afterEach(() => {
  queryClient.clear()
  vi.unstubAllGlobals()
})

test('a scope is given by who has a role for it', () => {
  const given = (...roles: string[]) => SCOPE_NAMES.filter((scope) => whyNotGiven(scope, roles) === null)
  expect(given('viewer')).toEqual([])
  expect(given('operator')).toEqual(['receipts.read', 'nodes.read', 'nodes.control', 'enrolment.write', 'earnings.read', 'jobs.read', 'jobs.write'])
  expect(given('viewer', 'consumer')).toEqual(['receipts.read', 'gateway', 'usage.read', 'leases.read', 'leases.write', 'jobs.read', 'jobs.write'])
  expect(given('admin')).toEqual(SCOPE_NAMES)
  expect(whyNotGiven('gateway', ['operator'])).toContain('the role consumer')
  expect(SCOPE_NAMES.filter(isInUse)).toEqual(['receipts.read', 'nodes.read', 'nodes.control', 'enrolment.write'])
})

test('dollars are read and shown to the last billionth', () => {
  for (const [text, nano, shown] of [
    ['5', '5000000000', '$5.00'],
    [' $0.50 ', '500000000', '$0.50'],
    ['0.000000001', '1', '$0.000000001'],
    ['1234567.125', '1234567125000000', '$1,234,567.125'],
    ['0', '0', '$0.00'],
    ['9223372036.854775807', '9223372036854775807', '$9,223,372,036.854775807'],
  ] as const) {
    expect(nanoUsd(text)).toBe(nano)
    expect(dollars(nano)).toBe(shown)
  }
  for (const text of ['', '-1', '1,5', '1e3', '.5', '5.', 'x', '0.0000000001', '9223372036.854775808', '1'.repeat(13)]) expect(nanoUsd(text), text).toBeNull()
})

test('ids of models stand between commas, each once', () => {
  expect(modelIds(' llama-3.1 8b , qwen\nqwen,, ')).toEqual(['llama-3.1 8b', 'qwen'])
  expect(modelIds('  ')).toEqual([])
})

test('what a key is limited to is said in a line', () => {
  expect(limitsText(row('a'))).toBe('All models')
  expect(limitsText(row('a', { models: ['x', 'y'], budget_nano_usd: '2500000000' }))).toBe('2 models, $2.50')
})

test('an example names a route that the key may call, and no key', () => {
  const curl = 'curl -H "Authorization: Bearer $DGON_API_KEY"'
  const json = '-H "Content-Type: application/json" -d'
  // A route by a scope: the list of the server, in control-plane/src/http/keys.rs.
  const examples = {
    'receipts.read': `${curl} 'https://c.example/api/v1/receipts?limit=1'`,
    'nodes.read': `${curl} 'https://c.example/api/v1/nodes?owner=self'`,
    'nodes.control': `${curl} ${json} '{"action":"refresh","reason":"A new GPU"}' https://c.example/api/v1/nodes/NODE_ID/actions`,
    'enrolment.write': `${curl} ${json} '{"uses":1}' https://c.example/api/v1/enrolment-tokens`,
  }
  const found = SCOPE_NAMES.map((scope) => [scope, curlExample('https://c.example', [scope])] as const).filter(([, example]) => example !== null)
  expect(Object.fromEntries(found)).toEqual(examples)
  expect(curlExample('https://c.example', ['gateway', 'enrolment.write', 'nodes.read'])).toBe(examples['nodes.read'])
  expect(curlExample('https://c.example', [])).toBeNull()
})

test('one that is revoked says so at once, also where it was gone', async () => {
  answer = () => new Response(null, { status: 204 })
  await revokeKey('b/1')
  expect(asked).toEqual([{ method: 'DELETE', path: '/api/v1/api-keys/b%2F1' }])
  expect(states()).toEqual(['a active', 'b/1 revoked'])
  answer = () => Response.json({ error: { type: 'not_found', message: 'No.', request_id: 'r', details: {} } }, { status: 404 })
  await revokeKey('a')
  expect(states()).toEqual(['a revoked', 'b/1 revoked'])
  expect(queryClient.getQueryState(queryKey)?.isInvalidated).toBe(true)
})

test('one that was not revoked is not said to be', async () => {
  answer = () => Response.json({ error: { type: 'internal', message: 'No.', request_id: 'r', details: {} } }, { status: 500 })
  await expect(revokeKey('a')).rejects.toThrow('No.')
  expect(states()).toEqual(['a active', 'b/1 active'])
})

test('a whole key is in no list', async () => {
  answer = () => Response.json({ ...row('c'), key: 'dgon_sk_live_c_secret' }, { status: 201 })
  const made = await createKey({ name: 'c', scopes: ['nodes.read'] })
  expect(made.key).toBe('dgon_sk_live_c_secret')
  const kept = queryClient.getQueryCache().getAll().map(({ state }) => JSON.stringify(state.data))
  expect(kept.join()).not.toContain('secret')
})
