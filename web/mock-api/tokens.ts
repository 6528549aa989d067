// Enrolment tokens to look at while developing. What is changed lasts as long as the development server.
import type { EnrolmentToken } from '../src/api/types.ts'

const iso = (minutes: number) => new Date(Date.now() + 60_000 * minutes).toISOString()

const token = (id: string, label: string, change: Partial<EnrolmentToken> = {}): EnrolmentToken => ({
  id,
  label,
  region: null,
  pool: null,
  created_by: 'user:u_1',
  created_at: iso(-2),
  expires_at: iso(58),
  revoked_at: null,
  uses_total: 1,
  uses_left: 1,
  used_by: [],
  ...change,
})

let tokens: EnrolmentToken[] = [
  token('et_9Yp3vQxK2mT7', 'studio-01', { region: 'eu-west' }),
  token('et_cR5wZs8LbN4h', 'The machines of the northern hall, with a label that says all that there is to say', { created_by: 'user:u_2', region: 'us-east', pool: { pool_id: 'pool_1', name: 'h200-night' }, uses_total: 40, uses_left: 17, expires_at: iso(900) }),
  token('et_J6fDgA1e0xkE', '', { created_by: 'cli' }),
  token('et_gOGusQGwp3oD', 'spent', { uses_left: 0, used_by: ['sim-00000'] }),
]

type Body = Partial<{ label: string; region: string; uses: number; ttl_s: number }>

export const tokenList = () => tokens

/** What a change of a token answers; nothing where it is of none. */
export function changeTokens(method: string, path: string, body: Body): unknown {
  if (method === 'GET' || !path.startsWith('/enrolment-tokens')) return undefined
  if (method === 'DELETE') {
    tokens = tokens.map((one) => (path.endsWith(one.id) ? { ...one, revoked_at: iso(0) } : one))
    return {}
  }
  const uses = body.uses ?? 1
  const made = token(`et_mock${tokens.length}`, body.label ?? '', { region: body.region ?? null, created_at: iso(0), expires_at: iso((body.ttl_s ?? 3600) / 60), uses_total: uses, uses_left: uses })
  tokens = [made, ...tokens]
  return { ...made, token: 'dgon_enrol_9Yp3vQxK2mT7cR5wZs8LbN4h' }
}
