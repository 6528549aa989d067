import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { revokeToken } from '~/api/mutations'
import { query, queryClient } from '~/api/queries'
import type { EnrolmentToken } from '~/api/types'
import { makerOf, tokenName, usesText, worksAt } from '~/util/enrolment'

const NOW = Date.parse('2026-11-10T10:00:00.000Z')
const iso = (minutes: number) => new Date(NOW + minutes * 60_000).toISOString()

const token = (id: string, change: Partial<EnrolmentToken> = {}): EnrolmentToken => ({
  id,
  label: id,
  created_by: 'user:u_1',
  created_at: iso(-1),
  expires_at: iso(59),
  revoked_at: null,
  uses_total: 3,
  uses_left: 2,
  used_by: ['n_1'],
  ...change,
})

const { queryKey } = query.recentTokens()
const ids = () => queryClient.getQueryData(queryKey)?.items.map(({ id }) => id)
const asked: string[] = []
let answer: () => Response

beforeEach(() => {
  asked.length = 0
  vi.stubGlobal('fetch', async (path: string, { method }: RequestInit) => {
    asked.push(`${method} ${path}`)
    return answer()
  })
  vi.spyOn(Date, 'now').mockReturnValue(NOW)
})
afterEach(() => {
  queryClient.clear()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

test('a token works until its time, its last use or its end', () => {
  expect(worksAt(token('a'), NOW)).toBe(true)
  for (const change of [{ uses_left: 0 }, { revoked_at: iso(-1) }, { expires_at: iso(0) }]) expect(worksAt(token('a', change), NOW), JSON.stringify(change)).toBe(false)
})

test('a token without a label goes by its id, and says who made it', () => {
  expect([tokenName(token('et_1')), tokenName(token('et_1', { label: 'studio' })), usesText(token('a'))]).toEqual(['et_1', 'studio', '2 of 3'])
  expect([makerOf(token('a')), makerOf(token('a', { created_by: 'cli' }))]).toEqual(['u_1', null])
})

test('pages are read until all that follow are too old to work', async () => {
  const pages = [
    { items: [token('a'), token('b', { created_at: iso(-1000) })], next_cursor: 'c 1' },
    { items: [token('c', { created_at: iso(-1441) })], next_cursor: 'c 2' },
  ]
  answer = () => Response.json({ ...pages.shift(), total: 900 })
  const found = await queryClient.fetchQuery(query.recentTokens())
  expect(found.items.map(({ id }) => id)).toEqual(['a', 'b', 'c'])
  expect(found.isWhole).toBe(true)
  expect(asked).toEqual(['GET /api/v1/enrolment-tokens?limit=200', 'GET /api/v1/enrolment-tokens?limit=200&cursor=c+1'])
})

test('a list that has no end is not read for ever, and says so', async () => {
  answer = () => Response.json({ items: [token('a')], next_cursor: 'c', total: 9000 })
  expect((await queryClient.fetchQuery(query.recentTokens())).isWhole).toBe(false)
  expect(asked).toHaveLength(5)
})

test('one that is revoked leaves the list, also where it was gone, and stays where it was not', async () => {
  queryClient.setQueryData(queryKey, { items: [token('a'), token('b'), token('c/1')], isWhole: true })
  answer = () => new Response(null, { status: 204 })
  await revokeToken('c/1')
  expect(asked).toEqual(['DELETE /api/v1/enrolment-tokens/c%2F1'])
  expect(ids()).toEqual(['a', 'b'])
  expect(queryClient.getQueryState(queryKey)?.isInvalidated).toBe(true)
  const refused = (status: number, type: string) => Response.json({ error: { type, message: 'No.', request_id: 'r', details: {} } }, { status })
  answer = () => refused(404, 'not_found')
  await revokeToken('a')
  expect(ids()).toEqual(['b'])
  answer = () => refused(500, 'internal')
  await expect(revokeToken('b')).rejects.toThrow('No.')
  expect(ids()).toEqual(['b'])
})
