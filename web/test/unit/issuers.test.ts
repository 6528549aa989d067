import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { goToIssuer, unlinkIdentity } from '~/api/issuers'
import { query, queryClient } from '~/api/queries'
import type { OwnIdentity } from '~/api/types'
import { keepNext, readNext } from '~/stores/at-issuer'
import { hadSession } from '~/stores/session-hint'
import { accountName, issuerName, problemText } from '~/util/issuers'
import { safeNext } from '~/util/path-builder'

const one: OwnIdentity = { id: 'i_1', issuer: 'https://issuer.example/realms/a', issuer_name: 'Example', subject: '123', email: 'a@example.org', linked_at: '2026-11-20T10:00:00.000Z' }
const { queryKey } = query.identities()
const assign = vi.fn<(url: string) => void>()
const kept = new Map<string, string>()
let answer: () => Response

beforeEach(() => {
  kept.clear()
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => kept.set(key, value), removeItem: (key: string) => kept.delete(key) }
  vi.stubGlobal('localStorage', storage)
  vi.stubGlobal('sessionStorage', storage)
  vi.stubGlobal('location', { assign })
  vi.stubGlobal('fetch', async () => answer())
  queryClient.setQueryData(queryKey, { items: [one, { ...one, id: 'i_2' }] })
})

afterEach(() => {
  vi.unstubAllGlobals()
  assign.mockReset()
  queryClient.clear()
})

const refusal = (status: number, type: string) => Response.json({ error: { type, message: 'no', request_id: 'r', details: {} } }, { status })

test('who goes to an issuer comes back to a page that asks who is signed in', async () => {
  answer = () => refusal(503, 'unavailable')
  await expect(goToIssuer('example', 'sign_in', '/nodes')).rejects.toThrow('no')
  expect(assign).not.toHaveBeenCalled()
  expect(hadSession()).toBe(false)
  answer = () => Response.json({ url: 'https://issuer.example/authorize?x=1' })
  await goToIssuer('example', 'sign_in', '/nodes')
  expect(assign).toHaveBeenCalledWith('https://issuer.example/authorize?x=1')
  expect(hadSession()).toBe(true)
  expect(readNext()).toBe('/nodes')
})

test('where somebody wanted to go is known for as long as an issuer may let them in', async () => {
  vi.useFakeTimers()
  keepNext('/nodes?status=active')
  vi.advanceTimersByTime(599_999)
  expect(readNext()).toBe('/nodes?status=active')
  vi.advanceTimersByTime(1)
  expect(readNext()).toBeUndefined()
  vi.useRealTimers()
  keepNext('/nodes')
  keepNext(null)
  expect(readNext()).toBeUndefined()
  expect(['/nodes', '//elsewhere.example', '/\\elsewhere.example', 'https://elsewhere.example', undefined].map(safeNext)).toEqual(['/nodes', '/', '/', '/', '/'])
})

test('an account elsewhere that was taken away meanwhile is taken away', async () => {
  for (const [id, response] of [['i_1', () => new Response(null, { status: 204 })], ['i_2', () => refusal(404, 'not_found')]] as const) {
    answer = response
    // oxlint-disable-next-line no-await-in-loop
    await unlinkIdentity(id)
    expect(queryClient.getQueryData(queryKey)?.items.some((row) => row.id === id)).toBe(false)
  }
  queryClient.setQueryData(queryKey, { items: [one] })
  answer = () => refusal(409, 'conflict')
  await expect(unlinkIdentity('i_1')).rejects.toThrow('no')
  expect(queryClient.getQueryData(queryKey)?.items).toHaveLength(1)
})

test('every word of the server has a sentence of its own', () => {
  const handlers = readFileSync(fileURLToPath(new URL('../../../control-plane/src/http/account/oidc.rs', import.meta.url)), 'utf8')
  const words = [...handlers.matchAll(/Self::\w+ => "(?<word>\w+)"/g)].map(({ groups }) => groups?.word ?? '')
  expect(words.length).toBeGreaterThan(8)
  const sentences = new Set(words.map(problemText))
  expect(sentences.size).toBe(words.length)
  for (const strange of ['', 'no such word', 'constructor', '<b>']) expect(problemText(strange)).toBe(problemText('failed'))
})

test('an account and its issuer have names for people', () => {
  expect([issuerName(one), accountName(one)]).toEqual(['Example', 'a@example.org'])
  expect([issuerName({ ...one, issuer_name: null }), accountName({ ...one, email: null })]).toEqual(['issuer.example/realms/a', '123'])
})
