// API keys to look at while developing. What is changed lasts as long as the development server.
import type { IncomingMessage } from 'node:http'
import type { ApiKey, ApiKeyRequest } from '../src/api/types.ts'

const iso = (days: number) => new Date(Date.now() - 86_400_000 * days).toISOString()

const key = (id: string, name: string, change: Partial<ApiKey> = {}): ApiKey => ({
  id,
  prefix: `dgon_sk_live_${id}_`,
  name,
  user_id: 'u_1',
  org_id: 'main',
  org_name: 'main',
  scopes: ['nodes.read'],
  models: null,
  budget_nano_usd: null,
  state: 'active',
  created_at: iso(9),
  expires_at: iso(-21),
  revoked_at: null,
  last_used_at: iso(0.01),
  last_used_ip: '203.0.113.7',
  ...change,
})

let keys: ApiKey[] = [
  key('9Yp3vQxK2mT7', 'Grafana'),
  key('cR5wZs8LbN4h', 'A program with a very long name that says all that it does', { org_id: 'o_1', org_name: 'Rigs of the north', scopes: ['receipts.read', 'nodes.read', 'nodes.control', 'enrolment.write'], models: ['llama-3.1-8b'], budget_nano_usd: '25500000000', last_used_at: null, last_used_ip: null }),
  key('J6fDgA1e0xkE', 'Old laptop', { state: 'revoked', revoked_at: iso(2) }),
  key('gOGusQGwp3oD', 'Trial', { state: 'expired', expires_at: iso(3) }),
]

async function bodyOf(request: IncomingMessage): Promise<ApiKeyRequest> {
  let text = ''
  for await (const part of request) text += String(part)
  return JSON.parse(text) as ApiKeyRequest
}

export const isOfKeys = (path: string) => path.startsWith('/api-keys')

export async function answerKeys(request: IncomingMessage, path: string, isEmpty: boolean): Promise<unknown> {
  if (request.method === 'POST') {
    const { name, scopes, models, budget_nano_usd: budget } = await bodyOf(request)
    const made = key(`mock${keys.length}`.padEnd(12, '0'), name, { scopes, models: models ?? null, budget_nano_usd: budget ?? null, created_at: iso(0), expires_at: iso(-30), last_used_at: null, last_used_ip: null })
    keys = [made, ...keys]
    return { ...made, key: `${made.prefix}3oDH4mEVFvp7u7ED6UzpF5eHPrBI5AHumY7UBpOQIJz0y6Qpg` }
  }
  if (request.method === 'DELETE') keys = keys.map((one) => (path.endsWith(one.id) ? { ...one, state: 'revoked', revoked_at: iso(0) } : one))
  return { items: isEmpty ? [] : keys, next_cursor: null, total: null }
}
