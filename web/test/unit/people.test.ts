import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ApiError, fieldOf } from '~/api/errors'
import { closeOrg, disableUser, enableUser, inviteUser, removeMembership, resetSecondFactor, setMembership } from '~/api/people'
import { query, queryClient } from '~/api/queries'
import type { Membership, Organisation, User } from '~/api/types'
import { userFilters } from '~/util/filters'
import { listOf } from '~/util/path-builder'
import { joinable, rolesText, whyNotThere } from '~/util/people'

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
