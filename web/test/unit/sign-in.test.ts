import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { enterCode, login, redeemLink } from '~/api/sign-in'
import type { Me } from '~/api/types'
import { session, signedOut } from '~/stores/session'
import { FROM_ISSUER, LINK, type SignInEvent, type SignInStep, firstStep, nextStep, waysIn } from '~/util/sign-in-steps'

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

  test('a page begins with its link, with the code where an issuer sent the browser back, and else with the ways', () => {
    expect([firstStep(true, 'code'), firstStep(false, 'code'), firstStep(false, undefined), firstStep(false, 'x')]).toEqual([LINK, FROM_ISSUER, waysIn(), waysIn()])
  })

  test('whoever comes from an issuer is in by the code, or is back at the ways: at will, or because it took too long', () => {
    expect(nextStep(FROM_ISSUER, { kind: 'entered' })).toEqual({ kind: 'in', way: 'issuer' })
    expect(nextStep(FROM_ISSUER, { kind: 'again' })).toEqual({ kind: 'ways', email: '', again: null, isBack: true })
    expect(nextStep(FROM_ISSUER, { kind: 'over', why: 'late' })).toEqual({ kind: 'ways', email: '', again: 'late', isBack: true })
    expect(after(FROM_ISSUER, { kind: 'again' }, { kind: 'proven', way: 'password', pending, email: 'a' })).toMatchObject({ kind: 'code', way: 'password' })
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

  test('whoever comes from an issuer too late is back at the ways, with the reason', async () => {
    answer = () => refused(401, 'invalid_token')
    const { pending: begun } = FROM_ISSUER as Extract<SignInStep, { kind: 'code' }>
    const entered = await enterCode(begun, '123456')
    expect(nextStep(FROM_ISSUER, { kind: 'over', why: entered.isIn ? '' : entered.why })).toMatchObject({ kind: 'ways', again: expect.stringContaining('took too long') })
    // It is no end of a session.
    expect(asked.map(({ path }) => path)).toEqual(['/api/v1/auth/second-factor'])
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
