import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ApiError, fieldOf } from '~/api/errors'
import { assign } from '~/api/mutations'
import { closeOrg, disableUser, enableUser, inviteUser, removeMembership, resetSecondFactor, setMembership } from '~/api/people'
import { query, queryClient } from '~/api/queries'
import type { Assignee, Membership, NodeDetail, Organisation, User } from '~/api/types'
import { assignmentFilters, userFilters } from '~/util/filters'
import { listOf } from '~/util/path-builder'
import { assignable, joinable, rolesText, whyNotThere } from '~/util/people'

const org = (org_id: string, name: string, closed_at: string | null = null): Organisation => ({ org_id, name, created_at: '', closed_at, members: 0, nodes: 0 })
const user = (change: Partial<User> = {}): User => ({ user_id: 'u/1', email: 'a@example.org', created_at: '', last_sign_in_at: null, disabled_at: null, memberships: [], ...change })

const asked: { method: string; path: string; body: unknown }[] = []
let answer: (path: string) => Response

beforeEach(() => {
  asked.length = 0
  vi.stubGlobal('fetch', async (path: string, { method, body }: RequestInit) => {
    asked.push({ method: String(method), path, body: body === undefined ? undefined : JSON.parse(String(body)) })
    return answer(path)
  })
})
afterEach(() => {
  queryClient.clear()
  vi.unstubAllGlobals()
})

test('roles have words, and one that a newer server has is shown', () => {
  expect([rolesText(['operator', 'viewer']), rolesText(['auditor']), rolesText([])]).toEqual(['Operator, viewer', 'Auditor', 'None'])
})

test('admins are in the organisation of the network alone', () => {
  expect(whyNotThere('admin', 'main')).toBeNull()
  expect(whyNotThere('operator', 'o_1')).toBeNull()
  expect(whyNotThere('admin', 'o_1')).toContain("the network's own organisation")
})

test("one is added to what is open and new to them, the network's own first", () => {
  const orgs = [org('o_1', 'Zebra'), org('o_2', 'Apes'), org('o_3', 'Closed', '2026-11-01'), org('main', 'main'), org('o_4', 'In')]
  expect(joinable(orgs, [{ org_id: 'o_4' } as Membership]).map((one) => one.name)).toEqual(['main', 'Apes', 'Zebra'])
})

test('the address has the search and the organisation', () => {
  expect(userFilters({ q: 'a@', org_id: 'o_1', cursor: '7.u', role: 'admin' })).toEqual({
    request: { q: 'a@', org_id: 'o_1', limit: '50', cursor: '7.u' },
    active: { q: 'a@', org_id: 'o_1' },
    ignored: ['role=admin'],
  })
  expect(userFilters({ q: 'x'.repeat(101) }).ignored).toHaveLength(1)
})

test('one object of an organisation leads to the list of them', () => {
  expect(['/', '/nodes', '/nodes/rig-1', '/receipts/r', '/users/u_1', '/account/sessions'].map(listOf)).toEqual(['/', '/nodes', '/nodes', '/receipts', '/users', '/account/sessions'])
})

test('each change asks for what it says', async () => {
  answer = () => Response.json(user())
  await disableUser('u/1', 'left')
  await enableUser('u/1', '')
  await setMembership('u/1', 'o 1', ['viewer'], '')
  await removeMembership('u/1', 'o 1')
  await resetSecondFactor('u/1', 'lost the phone')
  expect(asked).toEqual([
    { method: 'PATCH', path: '/api/v1/users/u%2F1', body: { disabled: true, reason: 'left' } },
    { method: 'PATCH', path: '/api/v1/users/u%2F1', body: { disabled: false } },
    { method: 'PUT', path: '/api/v1/users/u%2F1/memberships/o%201', body: { roles: ['viewer'] } },
    { method: 'DELETE', path: '/api/v1/users/u%2F1/memberships/o%201', body: undefined },
    { method: 'POST', path: '/api/v1/users/u%2F1/reset-second-factor', body: { reason: 'lost the phone' } },
  ])
})

test('a change is on the page of the person at once, and the lists are read again', async () => {
  queryClient.setQueryData(query.user('u/1').queryKey, user())
  queryClient.setQueryData(query.users({}).queryKey, { items: [user()], next_cursor: null })
  answer = () => Response.json(user({ disabled_at: '2026-11-30T10:00:00.000Z' }))
  await disableUser('u/1', 'left')
  expect(queryClient.getQueryData(query.user('u/1').queryKey)?.disabled_at).not.toBeNull()
  expect(queryClient.getQueryState(query.users({}).queryKey)?.isInvalidated).toBe(true)
})

test('an organisation that was closed is so in its list and in the choice', async () => {
  queryClient.setQueryData(query.orgs({}).queryKey, { items: [org('o_1', 'A'), org('o_2', 'B')], next_cursor: null })
  queryClient.setQueryData(query.allOrgs().queryKey, [org('o_1', 'A')])
  answer = () => Response.json(org('o_1', 'A', '2026-11-30T10:00:00.000Z'))
  await closeOrg('o_1', 'sold')
  expect(queryClient.getQueryData(query.orgs({}).queryKey)?.items.map((one) => one.closed_at !== null)).toEqual([true, false])
  expect(queryClient.getQueryData(query.allOrgs().queryKey)?.[0]?.closed_at).not.toBeNull()
})

test('all organisations are read, however many pages they have', async () => {
  answer = (path) => Response.json(path.includes('cursor=2') ? { items: [org('o_2', 'B')], next_cursor: null } : { items: [org('o_1', 'A')], next_cursor: '2.o' })
  const all = await queryClient.fetchQuery(query.allOrgs())
  expect(all.map((one) => one.org_id)).toEqual(['o_1', 'o_2'])
})

test('what is refused names its field', async () => {
  answer = () => Response.json({ error: { type: 'invalid_request', message: 'No.', request_id: 'r', details: { field: 'email' } } }, { status: 400 })
  const refused = await inviteUser({ email: 'x', org_id: 'main', roles: ['viewer'] }).catch((error: unknown) => error)
  expect(fieldOf(refused)).toBe('email')
  expect(fieldOf(new ApiError('conflict', '', 409, null))).toBeNull()
})

test('open accounts with a fitting role there, and not yet assigned, can be assigned', () => {
  const of = (email: string, org_id: string, roles: string[], change: Partial<User> = {}) => user({ user_id: email, email, memberships: [{ org_id, roles } as unknown as Membership], ...change })
  const people = [
    of('z@', 'o_1', ['operator']),
    of('a@', 'o_1', ['admin', 'viewer']),
    of('viewer@', 'o_1', ['viewer', 'consumer']),
    of('other@', 'o_2', ['operator']),
    of('shut@', 'o_1', ['operator'], { disabled_at: '2026-11-01' }),
    of('is@', 'o_1', ['operator']),
  ]
  expect(assignable(people, 'o_1', [{ user_id: 'is@' } as Assignee]).map((one) => one.email)).toEqual(['a@', 'z@'])
})

test('who is assigned is on the page of the node at once, and the lists are read again', async () => {
  const { queryKey } = query.node('rig/1')
  queryClient.setQueryData(queryKey, { node_id: 'rig/1', assignees: [] } as unknown as NodeDetail)
  queryClient.setQueryData(query.assignments({}).queryKey, { items: [], next_cursor: null })
  const now = [{ user_id: 'u_1', email: 'a@example.org' }]
  answer = () => Response.json({ assignees: now })
  await assign('rig/1', 'u_1', true, '')
  await assign('rig/1', 'u_1', true, 'the rota')
  expect(queryClient.getQueryData(queryKey)?.assignees).toEqual(now)
  expect(queryClient.getQueryState(query.assignments({}).queryKey)?.isInvalidated).toBe(true)
  expect(asked).toEqual([
    { method: 'POST', path: '/api/v1/nodes/rig%2F1/assign', body: { user_id: 'u_1', assigned: true } },
    { method: 'POST', path: '/api/v1/nodes/rig%2F1/assign', body: { user_id: 'u_1', assigned: true, reason: 'the rota' } },
  ])
})

test('the address of the assignments has the search and whose they are', () => {
  expect(assignmentFilters({ q: 'rig', assignee: 'nobody', cursor: 'rig-1', role: 'x' })).toEqual({
    request: { q: 'rig', assignee: 'nobody', limit: '50', cursor: 'rig-1' },
    active: { q: 'rig', assignee: 'nobody' },
    ignored: ['role=x'],
  })
})

test('all people of an organisation are read, however many pages they have', async () => {
  answer = (path) => Response.json(path.includes('cursor=2') ? { items: [user({ user_id: 'b' })], next_cursor: null } : { items: [user({ user_id: 'a' })], next_cursor: '2.a' })
  const all = await queryClient.fetchQuery(query.membersOf('o_1'))
  expect(all.map((one) => one.user_id)).toEqual(['a', 'b'])
  expect(asked.every(({ path }) => path.includes('org_id=o_1'))).toBe(true)
})
