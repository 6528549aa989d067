import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { endOtherSessions, endSession } from '~/api/mutations'
import { query, queryClient } from '~/api/queries'
import type { OpenSession } from '~/api/types'
import { inOrder, methodWord } from '~/util/sessions'

const row = (id: string, day: number, change: Partial<OpenSession> = {}): OpenSession => ({
  id,
  is_current: false,
  method: 'password',
  ip: '203.0.113.7',
  user_agent: null,
  created_at: `2026-11-${day}T10:00:00.000Z`,
  renewed_at: '2026-11-20T10:00:00.000Z',
  expires_at: '2026-12-20T10:00:00.000Z',
  ...change,
})

const { queryKey } = query.sessions()
const shown = () => queryClient.getQueryData(queryKey)?.items.map(({ id }) => id)
const asked: { method: string; path: string }[] = []
let answer: () => Response

beforeEach(() => {
  asked.length = 0
  vi.stubGlobal('fetch', async (path: string, { method }: RequestInit) => {
    asked.push({ method: String(method), path })
    return answer()
  })
  queryClient.setQueryData(queryKey, { items: [row('here', 10, { is_current: true }), row('desk', 12), row('lost/1', 11)] })
})
afterEach(() => {
  queryClient.clear()
  vi.unstubAllGlobals()
})

const refused = (status: number, type: string) => () => Response.json({ error: { type, message: 'No.', request_id: 'r', details: {} } }, { status })

test('this browser is first, the others by when they signed in, whatever was renewed meanwhile', () => {
  const rows = [row('a', 10), row('b', 12), row('here', 11, { is_current: true })]
  expect(inOrder(rows).map(({ id }) => id)).toEqual(['here', 'b', 'a'])
  const later = rows.map((one) => (one.id === 'a' ? { ...one, renewed_at: '2026-11-21T10:00:00.000Z' } : one))
  expect(inOrder(later.toReversed()).map(({ id }) => id)).toEqual(['here', 'b', 'a'])
})

test('a method that is known has words, one that nobody noted has none, a newer one is shown', () => {
  expect(['password', 'link', 'setup', 'registration', 'wallet', 'unknown', 'passkey'].map(methodWord)).toEqual(['Password', 'Sign-in link', 'Set-up link', 'New account', 'Wallet', null, 'passkey'])
})

test('one that is ended leaves the list, which is to be read again', async () => {
  answer = () => new Response(null, { status: 204 })
  await endSession('lost/1')
  expect(asked).toEqual([{ method: 'DELETE', path: '/api/v1/sessions/lost%2F1' }])
  expect(shown()).toEqual(['here', 'desk'])
  expect(queryClient.getQueryState(queryKey)?.isInvalidated).toBe(true)
})

test('one that had ended already leaves it, too', async () => {
  answer = refused(404, 'not_found')
  await endSession('desk')
  expect(shown()).toEqual(['here', 'lost/1'])
})

test('one that could not be ended stays, and why is told', async () => {
  answer = refused(503, 'unavailable')
  await expect(endSession('desk')).rejects.toThrow('No.')
  expect(shown()).toEqual(['here', 'desk', 'lost/1'])
})

test('all but this one end, with those that the list did not have yet', async () => {
  answer = () => Response.json({ ended: 3 })
  expect(await endOtherSessions()).toBe(3)
  expect(asked).toEqual([{ method: 'DELETE', path: '/api/v1/sessions' }])
  expect(shown()).toEqual(['here'])
})
