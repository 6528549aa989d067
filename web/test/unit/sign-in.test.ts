import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { enterCode, login, redeemLink } from '~/api/sign-in'
import type { Me } from '~/api/types'
import { session, signedOut } from '~/stores/session'
import { LINK, type SignInEvent, type SignInStep, nextStep, waysIn } from '~/util/sign-in-steps'

const pending = { finish: () => {} }
const after = (start: SignInStep, ...events: SignInEvent[]) => events.reduce(nextStep, start)

describe('the steps of a sign-in', () => {
  test('a way in is all, where no code is asked for', () => {
    expect(after(waysIn(), { kind: 'proven', way: 'password', pending: null, email: 'a@example.org' })).toEqual({ kind: 'in', way: 'password' })
    expect(after(LINK, { kind: 'proven', way: 'link', pending: null })).toEqual({ kind: 'in', way: 'link' })
  })

  test('after each of them a code may be asked for, and how it was begun is known afterwards', () => {
    for (const way of ['password', 'wallet', 'link'] as const) {
      const start = way === 'link' ? LINK : waysIn()
      const asked = after(start, { kind: 'proven', way, pending })
      expect(asked).toMatchObject({ kind: 'code', way, pending })
      expect(nextStep(asked, { kind: 'entered' })).toEqual({ kind: 'in', way })
    }
  })

  test('whoever starts again finds their address, and no reason', () => {
    const back = after(waysIn(), { kind: 'proven', way: 'password', pending, email: 'a@example.org' }, { kind: 'again' })
    expect(back).toEqual({ kind: 'ways', email: 'a@example.org', again: null, isBack: true })
    expect(after(waysIn('a@example.org'), { kind: 'proven', way: 'wallet', pending }, { kind: 'again' })).toMatchObject({ email: 'a@example.org' })
  })

  test('whoever came by a link is told that it is still good', () => {
    expect(after(LINK, { kind: 'proven', way: 'link', pending }, { kind: 'again' })).toMatchObject({ kind: 'ways', again: expect.stringContaining('open it again') })
  })

  test('what came to nothing says why', () => {
    expect(after(LINK, { kind: 'over', why: 'used' })).toEqual({ kind: 'ways', email: '', again: 'used', isBack: false })
    expect(after(waysIn(), { kind: 'proven', way: 'password', pending, email: 'a' }, { kind: 'over', why: 'late' })).toEqual({ kind: 'ways', email: 'a', again: 'late', isBack: true })
  })

  test('the answer of a link that is told twice, or late, changes nothing', () => {
    const told = { kind: 'proven', way: 'link', pending } as const
    expect(after(LINK, told, told)).toMatchObject({ kind: 'code' })
    expect(after(LINK, told, { kind: 'again' }, told)).toMatchObject({ kind: 'ways' })
    expect(after(LINK, told, { kind: 'entered' }, told)).toEqual({ kind: 'in', way: 'link' })
    expect(nextStep(waysIn(), { kind: 'entered' })).toEqual(waysIn())
  })
})

describe('what is asked', () => {
  const asked: { path: string; body: unknown }[] = []
  let answer: (path: string) => Response
  const refused = (status: number, type: string) => Response.json({ error: { type, message: 'No.', request_id: 'r', details: {} } }, { status })
  const ANA = { user_id: 'u_1', roles: [], memberships: [] } as unknown as Me

  beforeEach(() => {
    asked.length = 0
    vi.stubGlobal('fetch', async (path: string, { body }: RequestInit) => {
      asked.push({ path, body: JSON.parse(String(body)) })
      return answer(path)
    })
  })
  afterEach(() => {
    signedOut()
    vi.unstubAllGlobals()
  })

  test('without a second factor one is in at once', async () => {
    answer = () => Response.json(ANA)
    const seen: string[] = []
    expect(await redeemLink('t', () => seen.push(session.get().kind))).toBeNull()
    expect([...seen, session.get().kind]).toEqual([expect.not.stringContaining('signed-in'), 'signed-in'])
  })

  test('a code is no end of a session: nothing is renewed for it, and nobody is in', async () => {
    answer = () => refused(401, 'second_factor_needed')
    expect(await login('a@example.org', 'p')).toMatchObject({ finish: expect.any(Function) })
    expect(asked).toEqual([{ path: '/api/v1/auth/login', body: { email: 'a@example.org', password: 'p' } }])
    expect(session.get().kind).not.toBe('signed-in')
  })

  test('what is left to be done is done once the code is right, and not before', async () => {
    const done: string[] = []
    answer = () => refused(400, 'invalid_request')
    const wait = { finish: (me: Me) => done.push(me.user_id) }
    await expect(enterCode(wait, '000000')).rejects.toThrow('No.')
    expect(done).toEqual([])
    answer = () => Response.json(ANA)
    expect(await enterCode(wait, ' 8f3k2-m9qt0 ')).toEqual({ isIn: true, me: ANA })
    expect(done).toEqual(['u_1'])
    expect(asked.at(-1)).toEqual({ path: '/api/v1/auth/second-factor', body: { code: '8f3k2-m9qt0' } })
  })

  test.each([
    [401, 'invalid_token', 'took too long'],
    [409, 'conflict', 'no code any more'],
  ])('%s %s leads back to the first step', async (status, type, words) => {
    answer = () => refused(status, type)
    expect(await enterCode(pending, '123456')).toEqual({ isIn: false, why: expect.stringContaining(words) })
  })

  test.each([
    [400, 'invalid_request'],
    [429, 'rate_limited'],
    [503, 'unavailable'],
  ])('%s %s does not', async (status, type) => {
    answer = () => refused(status, type)
    await expect(enterCode(pending, '123456')).rejects.toMatchObject({ type })
  })
})
