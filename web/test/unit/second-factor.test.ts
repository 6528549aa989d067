import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ApiError, adviceFor, asksToSignInAgain } from '~/api/errors'
import { query, queryClient } from '~/api/queries'
import { codeRefusal, offerSecondFactor, removeSecondFactor, renewRecoveryCodes, setSecondFactor } from '~/api/second-factor'
import type { Me, SecondFactor } from '~/api/types'
import { currentMe, session, signedIn, signedOut } from '~/stores/session'
import { codesLeft, codesText, codesTone, grouped, isAppCode } from '~/util/second-factor'

const CODES = Array.from({ length: 10 }, (_, i) => `8f3k2-m9qt${i}`)
const SINCE = '2026-11-20T10:00:00.000Z'

const me = (second_factor: SecondFactor | null): Me => ({ user_id: 'u_1', email: 'a@example.org', org_id: 'main', roles: ['viewer'], memberships: [], csrf_token: 'c', has_password: true, private_pools: false, second_factor })
const factor = () => currentMe(session.get())?.second_factor

const asked: { name: string; body: unknown }[] = []
let answer: (name: string) => Response

beforeEach(() => {
  asked.length = 0
  vi.stubGlobal('fetch', async (path: string, { method, body }: RequestInit) => {
    const name = `${method} ${path.replace('/api/v1', '')}`
    asked.push({ name, body: body === undefined ? undefined : JSON.parse(String(body)) })
    return answer(name)
  })
})
afterEach(() => {
  signedOut()
  queryClient.clear()
  vi.unstubAllGlobals()
})

const refused = (status: number, type: string, details = {}) => Response.json({ error: { type, message: 'No.', request_id: 'r', details } }, { status })
/** The server does what is asked for, and has gone before it is asked who that is now. */
const does = (body: object | null) => {
  answer = (name) => (name === 'GET /users/me' ? refused(503, 'unavailable') : body ? Response.json(body) : new Response(null, { status: 204 }))
}

test('a secret is read in groups of four', () => {
  expect(grouped('JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP')).toBe('JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP')
  expect(grouped('ABCDE')).toBe('ABCD E')
  expect(grouped('')).toBe('')
})

test('codes of the app are six digits, however they are spaced', () => {
  expect(['123456', ' 123 456 ', '8f3k2-m9qt0', '12345-67890', '12345'].map(isAppCode)).toEqual([true, true, false, false, false])
})

test('few recovery codes are said, and none louder', () => {
  expect([10, 4, 3, 1, 0].map(codesTone)).toEqual([null, null, 'amber', 'amber', 'red'])
  expect([10, 1, 0].map(codesLeft)).toEqual(['10 recovery codes are left', '1 recovery code is left', 'No recovery codes are left'])
})

test('the file says whose codes it has, where and since when, and each on a line of its own', () => {
  const text = codesText(CODES, { site: 'dgon.example', email: 'a@example.org', at: new Date('2026-11-30T23:30:00Z') })
  const lines = text.split('\n')
  expect(lines[0]).toBe('Recovery codes of a@example.org at dgon.example')
  expect(lines[1]).toContain('2026-11-30')
  expect(lines.slice(3)).toEqual([...CODES, ''])
})

test('set up, it is on the page at once, also where the server does not answer any more', async () => {
  signedIn(me(null))
  queryClient.setQueryData(query.sessions().queryKey, { items: [] })
  does({ recovery_codes: CODES })
  expect(await setSecondFactor('s', ' 123 456 ', 'secret')).toEqual(CODES)
  expect(asked[0]).toEqual({ name: 'PUT /users/me/second-factor', body: { sealed: 's', code: '123 456', current: 'secret' } })
  expect(factor()?.recovery_codes_left).toBe(10)
  // The other sign-ins have ended.
  expect(queryClient.getQueryState(query.sessions().queryKey)?.isInvalidated).toBe(true)
})

test('what the server has of it is shown once it answers', async () => {
  signedIn(me(null))
  answer = (name) => Response.json(name === 'GET /users/me' ? me({ since: SINCE, recovery_codes_left: 9 }) : { recovery_codes: CODES })
  await setSecondFactor('s', '123456', '')
  await vi.waitFor(() => expect(factor()).toEqual({ since: SINCE, recovery_codes_left: 9 }))
})

test('a secret that was offered too long ago gives no codes; what else is refused is told', async () => {
  signedIn(me(null))
  answer = () => refused(401, 'invalid_token')
  expect(await setSecondFactor('s', '123456', '')).toBeNull()
  answer = () => refused(400, 'invalid_request', { field: 'code' })
  await expect(setSecondFactor('s', '123456', '')).rejects.toThrow('No.')
  expect(factor()).toBeNull()
})

test('new codes are as many as there are, and turned off it is gone', async () => {
  signedIn(me({ since: SINCE, recovery_codes_left: 0 }))
  does({ recovery_codes: CODES })
  expect(await renewRecoveryCodes('123456')).toEqual(CODES)
  expect(factor()).toEqual({ since: SINCE, recovery_codes_left: 10 })
  does(null)
  await removeSecondFactor('8f3k2-m9qt0')
  expect(factor()).toBeNull()
  expect(asked.filter(({ name }) => name.startsWith('POST'))).toEqual([
    { name: 'POST /users/me/second-factor/recovery-codes', body: { code: '123456' } },
    { name: 'POST /users/me/second-factor/remove', body: { code: '8f3k2-m9qt0' } },
  ])
})

test('where it was changed elsewhere the page says so, too', async () => {
  signedIn(me(null))
  answer = (name) => (name === 'GET /users/me' ? Response.json(me({ since: SINCE, recovery_codes_left: 10 })) : refused(409, 'conflict'))
  await expect(offerSecondFactor()).rejects.toThrow('No.')
  await vi.waitFor(() => expect(factor()?.since).toBe(SINCE))
})

test('what is wrong with a code stands at its field, what else failed does not', () => {
  const tooOften = (waitS: number | null) => Object.assign(new ApiError('rate_limited', '', 429, null), { retryAfterS: waitS })
  expect(codeRefusal(new ApiError('invalid_request', 'that code was used already', 400, null, { field: 'code' }))).toBe('that code was used already')
  expect(codeRefusal(tooOften(312))).toBe('Too many wrong codes. Codes of the app are taken again in 5 min 12 s; a recovery code still works now.')
  // That of the address counts recovery codes, too: it is not said that they work at once.
  expect(codeRefusal(tooOften(6))).toBe('Too many tries. Wait 6 s, then enter a code of the app or a recovery code.')
  expect(codeRefusal(tooOften(null))).toContain('recovery code')
  expect(codeRefusal(new ApiError('unavailable', '', 503, null))).toBeNull()
  expect(codeRefusal(null)).toBeNull()
})

test('a sign-in that is too old is no lack of rights', () => {
  const old = new ApiError('forbidden', 'sign in again', 403, null, { sign_in: 'again' })
  expect([asksToSignInAgain(old), adviceFor(old)]).toEqual([true, null])
  const stranger = new ApiError('forbidden', '', 403, null)
  expect([asksToSignInAgain(stranger), adviceFor(stranger)]).toEqual([false, expect.stringContaining('role')])
  expect(adviceFor(new ApiError('second_factor_needed', '', 401, null))).toContain('recovery code')
})
