// Accounts that people make themselves, take along and delete.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { deleteAccount, downloadOwnData } from '~/api/own-data'
import { queryClient } from '~/api/queries'
import { register } from '~/api/sign-in'
import type { Me } from '~/api/types'
import { isChanging, session, signedIn, signedOut } from '~/stores/session'
import { endedBecause } from '~/stores/wallet-session'
import * as clipboard from '~/util/clipboard'

const ZOE: Me = { user_id: 'u_9', email: 'zoe@example.org', org_id: 'o_9', roles: ['operator', 'consumer'], memberships: [], csrf_token: 'c', has_password: true, private_pools: false }
const ACCOUNT = { email: 'zoe@example.org', password: 'nine loud blue whales', organisation: 'Rigs of Zoe' }

const asked: { name: string; body: unknown; token: string | null }[] = []
let answer: () => Response
const refused = (status: number, type: string, details = {}) => Response.json({ error: { type, message: 'No.', request_id: 'r', details } }, { status })
const saved = vi.spyOn(clipboard, 'download')

beforeEach(() => {
  asked.length = 0
  endedBecause.set(null)
  saved.mockReset().mockReturnValue()
  vi.stubGlobal('fetch', async (path: string, { method, body, headers }: RequestInit) => {
    asked.push({ name: `${method} ${path}`, body: body === undefined ? undefined : JSON.parse(String(body)), token: new Headers(headers).get('x-csrf-token') })
    return answer()
  })
})
afterEach(() => {
  signedOut()
  queryClient.clear()
  vi.unstubAllGlobals()
})

test('whoever makes an account is in', async () => {
  answer = () => Response.json(ZOE)
  await register(ACCOUNT)
  expect(asked).toEqual([{ name: 'POST /api/v1/auth/register', body: ACCOUNT, token: null }])
  expect(session.get()).toEqual({ kind: 'signed-in', me: ZOE })
})

test.each([
  [403, 'forbidden', {}],
  [409, 'conflict', {}],
  [400, 'invalid_request', { field: 'name' }],
  [429, 'rate_limited', {}],
])('%s %s makes none, and nobody is in', async (status, type, details) => {
  answer = () => refused(status, type, details)
  await expect(register(ACCOUNT)).rejects.toMatchObject({ type, details, message: 'No.' })
  expect(asked).toHaveLength(1)
  expect(session.get().kind).not.toBe('signed-in')
})

test('all that is kept is saved as it came, and nothing where it did not come', async () => {
  signedIn(ZOE)
  answer = () => refused(503, 'unavailable')
  await expect(downloadOwnData()).rejects.toThrow('No.')
  expect(saved).not.toHaveBeenCalled()
  const text = '{"email":"zoe@example.org"}'
  answer = () => new Response(text)
  await downloadOwnData()
  expect(asked.at(-1)?.name).toBe('GET /api/v1/users/me/export')
  expect(saved).toHaveBeenCalledExactlyOnceWith('dgon-account.json', new TextEncoder().encode(text), 'application/json')
})

test('whoever deletes their account is out, is told so, and sees no page on the way', async () => {
  signedIn(ZOE)
  answer = () => new Response(null, { status: 204 })
  await deleteAccount(ZOE.email, 'secret', async () => {
    expect([session.get().kind, isChanging.get(), endedBecause.get()]).toEqual(['anonymous', true, expect.stringContaining('Your account is deleted')])
  })
  expect(asked).toEqual([{ name: 'DELETE /api/v1/users/me', body: { email: ZOE.email, current: 'secret' }, token: 'c' }])
  expect(isChanging.get()).toBe(false)
})

test.each([
  [400, 'invalid_request', { field: 'email' }],
  [403, 'forbidden', { sign_in: 'again' }],
  [409, 'conflict', { nodes: 2 }],
])('%s %s deletes nothing, and one stays where one is', async (status, type, details) => {
  signedIn(ZOE)
  answer = () => refused(status, type, details)
  const leave = vi.fn<() => Promise<void>>()
  await expect(deleteAccount('x', '', leave)).rejects.toMatchObject({ type, details, message: 'No.' })
  expect(leave).not.toHaveBeenCalled()
  expect([session.get().kind, isChanging.get(), endedBecause.get()]).toEqual(['signed-in', false, null])
})
