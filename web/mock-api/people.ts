// People and organisations to look at while developing. What is changed lasts as long as the development server.
import type { Membership, Organisation, Role, User } from '../src/api/types.ts'

const iso = (day: number) => new Date(Date.now() - 86_400_000 * day).toISOString()

export const orgs: Organisation[] = [
  { org_id: 'o_lab', name: 'Hardware laboratory of the technical university', created_at: iso(3), closed_at: null, members: 14, nodes: 21 },
  { org_id: 'o_old', name: 'Basement racks', created_at: iso(90), closed_at: iso(12), members: 2, nodes: 0 },
  { org_id: 'o_1', name: 'Rigs of the north', created_at: iso(120), closed_at: null, members: 9, nodes: 31 },
  { org_id: 'main', name: 'main', created_at: iso(200), closed_at: null, members: 4, nodes: 12 },
]

function membership(orgId: string, roles: Role[], day: number): Membership {
  const org = orgs.find((one) => one.org_id === orgId)
  return { org_id: orgId, org_name: org?.name ?? orgId, is_closed: Boolean(org?.closed_at), roles, since: iso(day), by: day > 100 ? 'cli' : 'user:u_1' }
}

export const users: User[] = [
  { user_id: 'u_1', email: 'ana@example.org', created_at: iso(200), last_sign_in_at: iso(0.1), disabled_at: null, memberships: [membership('main', ['admin', 'operator'], 200), membership('o_1', ['viewer'], 60)] },
  { user_id: 'u_2', email: 'bo@north.example', created_at: iso(110), last_sign_in_at: iso(2), disabled_at: null, second_factor_since: iso(30), memberships: [membership('o_1', ['operator'], 110)] },
  { user_id: 'u_3', email: 'a-very-long-name-of-somebody@department-of-machines.technical-university.example', created_at: iso(3), last_sign_in_at: null, disabled_at: null, memberships: [membership('o_lab', ['operator', 'consumer'], 3), membership('o_old', ['operator'], 80)] },
  { user_id: 'u_4', email: 'cy@example.org', created_at: iso(40), last_sign_in_at: iso(30), disabled_at: iso(5), memberships: [] },
  ...Array.from({ length: 60 }, (_, i): User => ({ user_id: `u_${i + 5}`, email: `member-${i + 1}@north.example`, created_at: iso(100 - i), last_sign_in_at: i % 3 ? iso(i / 4) : null, disabled_at: null, memberships: [membership('o_1', i % 2 ? ['viewer'] : ['operator', 'viewer'], 100 - i)] })),
]

let actsFor = 'main'

export function me() {
  const memberships = users.find((user) => user.user_id === 'u_1')?.memberships ?? []
  const now = memberships.find((one) => one.org_id === actsFor)
  return { user_id: 'u_1', email: 'ana@example.org', roles: now?.roles ?? [], org_id: now?.org_id ?? null, memberships, csrf_token: 'mock', has_password: true, private_pools: true }
}

const link = (userId: string) => ({ user_id: userId, path: '/sign-in#token=dgon_link_9Yp3vQxK2mT7cR5wZs8LbN4hJ6fDgA1e', expires_at: new Date(Date.now() + 86_400_000).toISOString() })

export type Refusal = { status: number; type: string; message: string; details: Record<string, unknown> }
type Body = Partial<{ email: string; org_id: string; roles: Role[]; name: string; disabled: boolean }>

export const refuse = (status: number, type: string, message: string, details = {}): Refusal => ({ status, type, message, details })
export const isRefusal = (answer: unknown): answer is Refusal => typeof answer === 'object' && answer !== null && 'status' in answer

/** What a change answers; nothing where it is none of people or organisations. */
export function change(method: string, path: string, body: Body): unknown {
  const [kind, id = '', part, orgId = ''] = path.split('/').filter(Boolean).map(decodeURIComponent)
  if (path === '/auth/organisation') {
    actsFor = body.org_id ?? actsFor
    return me()
  }
  if (method === 'GET' || (kind !== 'users' && kind !== 'orgs')) return undefined
  if (path === '/users') {
    if (users.some(({ email }) => email === body.email)) return refuse(409, 'conflict', 'there is a user with this email already')
    if (!body.email?.includes('.')) return refuse(400, 'invalid_request', 'this is not an email address', { field: 'email' })
    users.unshift({ user_id: `u_${users.length + 1}`, email: body.email, created_at: iso(0), last_sign_in_at: null, disabled_at: null, memberships: [membership(body.org_id ?? 'main', body.roles ?? [], 0)] })
    return link('u_new')
  }
  const user = kind === 'users' ? users.find((one) => one.user_id === id) : undefined
  if (user) {
    if (part === 'sign-in-link') return link(id)
    if (part === 'reset-second-factor') user.second_factor_since = null
    else if (method === 'PATCH') user.disabled_at = body.disabled ? iso(0) : null
    else {
      const others = user.memberships.filter((one) => one.org_id !== orgId)
      user.memberships = method === 'DELETE' ? others : [...others, membership(orgId, body.roles ?? [], 0)]
    }
    return user
  }
  const taken = orgs.some((one) => one.name === body.name)
  if (taken) return refuse(409, 'conflict', 'there is an organisation of this name already')
  if (path === '/orgs') {
    orgs.unshift({ org_id: `o_${orgs.length}`, name: body.name ?? '', created_at: iso(0), closed_at: null, members: 0, nodes: 0 })
    return orgs[0]
  }
  const org = orgs.find((one) => one.org_id === id)
  if (!org) return refuse(404, 'not_found', 'there is no organisation with this id')
  if (part !== 'close') org.name = body.name ?? org.name
  else if (org.nodes > 0) return refuse(409, 'conflict', `this organisation still has ${org.nodes} nodes; retire them or transfer them to another one first`, { nodes: org.nodes })
  else org.closed_at = iso(0)
  return org
}
