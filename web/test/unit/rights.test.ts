// What was read for one person, organisation or role is gone before the next one's page is drawn.
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { boot, hub } from '~/api/boot'
import { call } from '~/api/client'
import { actFor, logout } from '~/api/mutations'
import { queryClient } from '~/api/queries'
import type { Me, Membership, Role } from '~/api/types'
import { isChanging, session, sessionEnded, signedIn, signedOut, view } from '~/stores/session'
import { toasts } from '~/stores/toasts'

const membership = (org_id: string, roles: Role[], is_closed = false): Membership => ({ org_id, org_name: `The ${org_id}`, roles, is_closed, since: '', by: 'cli' })
const MEMBERSHIPS = [membership('north', ['operator']), membership('south', ['viewer'])]

const me = (org_id: string | null, roles: Role[], user_id = 'u_1'): Me => ({ user_id, email: 'a@example.org', org_id, roles, memberships: MEMBERSHIPS, csrf_token: 'c', has_password: true, private_pools: false })
const NORTH = me('north', ['operator'])
const SOUTH = me('south', ['viewer'])

class Socket extends EventTarget {
  static opened: Socket[] = []
  isClosed = false
  constructor() {
    super()
    Socket.opened.push(this)
  }
  close(): void {
    this.isClosed = true
  }
  send(): void {}
}
const live = () => Socket.opened.filter((socket) => !socket.isClosed)

const asked: string[] = []
/** The tokens of what changes something. */
const tokens: (string | null)[] = []
let answer: (path: string) => Response | Promise<Response>
const refused = (status: number, type: string) => Response.json({ error: { type, message: 'No.', request_id: 'r', details: {} } }, { status })
/** Whether what was read is there, at the moment in which the page hears of the session. */
const seen: boolean[] = []
const isRead = () => queryClient.getQueryData(['nodes']) !== undefined

beforeAll(() => {
  vi.useFakeTimers()
  vi.stubGlobal('WebSocket', Socket)
  vi.stubGlobal('addEventListener', () => {})
  vi.stubGlobal('removeEventListener', () => {})
  vi.stubGlobal('location', { protocol: 'http:', host: 'console.example' })
  vi.stubGlobal('document', Object.assign(new EventTarget(), { hidden: false }))
  const kept = new Map<string, string>()
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value), removeItem: (key: string) => void kept.delete(key) }
  vi.stubGlobal('localStorage', storage)
  vi.stubGlobal('sessionStorage', storage)
  vi.stubGlobal('fetch', async (path: string, { method, headers }: RequestInit) => {
    asked.push(`${method} ${path}`)
    if (method !== 'GET') tokens.push(new Headers(headers).get('x-csrf-token'))
    return answer(path)
  })
  answer = () => refused(503, 'unavailable')
  boot()
  session.subscribe(() => seen.push(isRead()))
})
afterAll(() => {
  hub.stop()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})
beforeEach(async () => {
  answer = () => refused(503, 'unavailable')
  signedOut()
  signedIn(NORTH)
  await vi.advanceTimersByTimeAsync(0)
  queryClient.setQueryData(['nodes'], ['of the north'])
  queryClient.setQueryData(['auth-state'], { setup_needed: false, anonymous_overview: true, version: '' })
  sessionStorage.setItem('dgon.run', '{"tokenId":"t"}')
  toasts.set([])
  seen.length = 0
  asked.length = 0
  tokens.length = 0
})

test.each([
  ['another organisation', SOUTH],
  ['another role there', me('north', ['viewer'])],
  ['none any more', me(null, [])],
  ['another person', me('north', ['operator'], 'u_2')],
])('%s: nothing is left, and the socket is another', (_, next) => {
  const [socket] = live()
  const drawn = view.get()
  signedIn(next)
  expect(seen).toEqual([false])
  expect(view.get()).toBe(drawn + 1)
  expect(sessionStorage.getItem('dgon.run')).toBeNull()
  expect(queryClient.getQueryData(['auth-state'])).toBeDefined()
  expect(socket?.isClosed).toBe(true)
  expect(live()).toHaveLength(1)
})

test('the same rights leave what is on screen, also over the end of a session', () => {
  const sockets = Socket.opened.length
  signedIn({ ...NORTH, roles: ['operator'], csrf_token: 'another' })
  expect(Socket.opened).toHaveLength(sockets)
  sessionEnded()
  signedIn(NORTH)
  expect(seen).toEqual([true, true, true])
})

test('who comes back after the end of a session with other rights finds nothing of before', () => {
  sessionEnded()
  signedIn(SOUTH)
  expect(seen).toEqual([true, false])
})

test('whoever signs out takes along what they read', async () => {
  answer = () => new Response(null, { status: 204 })
  await logout()
  expect(seen).toEqual([false])
})

test('what changed is told', () => {
  signedIn(SOUTH)
  signedIn(me('south', ['consumer', 'viewer']))
  signedIn(me(null, []))
  expect(toasts.get().map(({ text }) => text)).toEqual(['You act for The south now', 'Your roles changed: Consumer, viewer'])
})

test('no page is shown between two organisations', async () => {
  const shown: boolean[] = []
  const stop = isChanging.subscribe(() => shown.push(!isChanging.get()))
  answer = () => Response.json(SOUTH)
  await actFor('south', async () => expect([isRead(), isChanging.get()]).toEqual([false, true]))
  expect(shown).toEqual([false, true])
  answer = () => refused(404, 'not_found')
  await expect(actFor('gone', async () => {})).rejects.toThrow('No.')
  expect(isChanging.get()).toBe(false)
  stop()
})

function closes(code: number): void {
  const [socket] = live()
  if (socket) socket.isClosed = true
  socket?.dispatchEvent(Object.assign(new Event('close'), { code }))
}

test('the server says that one may see something else: that is asked, and no token is exchanged for it', async () => {
  answer = () => Response.json(SOUTH)
  closes(4401)
  await vi.advanceTimersByTimeAsync(0)
  expect(seen).toEqual([false])
  expect(asked).toEqual(['GET /api/v1/users/me'])
  await vi.advanceTimersByTimeAsync(20_000)
  expect(live()).toHaveLength(1)
})

test('without an answer it is asked again', async () => {
  closes(4401)
  await vi.advanceTimersByTimeAsync(0)
  expect(seen).toEqual([])
  answer = () => Response.json(SOUTH)
  await vi.advanceTimersByTimeAsync(3000)
  expect(seen).toEqual([false])
})

test('a session that has ended asks to sign in again', async () => {
  answer = () => refused(401, 'unauthorized')
  closes(4401)
  await vi.advanceTimersByTimeAsync(0)
  expect(asked).toEqual(['GET /api/v1/users/me', 'POST /api/v1/auth/refresh'])
  expect(session.get().kind).toBe('expired')
})

test('a socket that was away and is back may have missed it', async () => {
  const hello = (socket: Socket | undefined) => socket?.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify({ type: 'hello', data: { build: '1' }, seq: 1 }) }))
  hello(live()[0])
  await vi.advanceTimersByTimeAsync(0)
  asked.length = 0
  live()[0]?.dispatchEvent(new Event('open'))
  closes(1006)
  await vi.advanceTimersByTimeAsync(2000)
  answer = () => Response.json(me('north', ['viewer']))
  hello(live()[0])
  await vi.advanceTimersByTimeAsync(0)
  expect(seen.at(-1)).toBe(false)
  expect(asked.filter((one) => one.startsWith('POST'))).toEqual([])
})

test('an answer that another one overtook is not believed', async () => {
  let late: (response: Response) => void = () => {}
  answer = () => new Promise((resolve) => (late = resolve))
  closes(4401)
  await vi.advanceTimersByTimeAsync(0)
  signedIn(SOUTH)
  answer = () => Response.json(SOUTH)
  late(Response.json(NORTH))
  await vi.advanceTimersByTimeAsync(0)
  const now = session.get()
  expect(now.kind === 'signed-in' && now.me.org_id).toBe('south')
})

test('what was meant for one organisation is not done in another', async () => {
  answer = (path) => (path.endsWith('/refresh') ? Response.json(SOUTH) : refused(401, 'unauthorized'))
  await expect(call('/enrolment-tokens', { method: 'POST', body: {} })).rejects.toThrow('Nothing was done')
  expect(asked).toEqual(['POST /api/v1/enrolment-tokens', 'POST /api/v1/auth/refresh'])
})

test('a refusal that somebody who signs in overtakes ends nothing', async () => {
  let late: (response: Response) => void = () => {}
  answer = (path) => (path.endsWith('/refresh') ? new Promise((resolve) => (late = resolve)) : refused(401, 'unauthorized'))
  const asking = call('/nodes').catch(() => 'refused')
  await vi.advanceTimersByTimeAsync(0)
  signedIn(SOUTH)
  late(refused(401, 'unauthorized'))
  expect(await asking).toBe('refused')
  expect(session.get().kind).toBe('signed-in')
})

/** Another page of this browser changed what the token is of: it is refused until it is read again. */
function tokenOf(next: Me): void {
  answer = (path) => {
    if (path.endsWith('/users/me')) return Response.json(next)
    return tokens.at(-1) === next.csrf_token ? new Response(null, { status: 204 }) : refused(403, 'invalid_csrf')
  }
}
const shown = () => {
  const now = session.get()
  return now.kind === 'signed-in' ? now.me.org_id : now.kind
}

test('a page that has not heard of the other organisation does nothing there, and shows it then', async () => {
  tokenOf({ ...SOUTH, csrf_token: 'of the south' })
  await expect(call('/enrolment-tokens', { method: 'POST', body: {} })).rejects.toThrow('Nothing was done')
  expect(asked.slice(0, 2)).toEqual(['POST /api/v1/enrolment-tokens', 'GET /api/v1/users/me'])
  expect([tokens, shown(), isRead()]).toEqual([['c'], 'south', false])
})

test('with the same rights and another token it is sent once more', async () => {
  tokenOf({ ...NORTH, csrf_token: 'of later' })
  await call('/enrolment-tokens', { method: 'POST', body: {} })
  expect([tokens, isRead()]).toEqual([['c', 'of later'], true])
})

test('refused once more, it is not sent a third time', async () => {
  answer = (path) => (path.endsWith('/users/me') ? Response.json(NORTH) : refused(403, 'invalid_csrf'))
  await expect(call('/enrolment-tokens', { method: 'POST', body: {} })).rejects.toMatchObject({ type: 'invalid_csrf' })
  expect(asked).toEqual(['POST /api/v1/enrolment-tokens', 'GET /api/v1/users/me', 'POST /api/v1/enrolment-tokens'])
})

test('without an answer who one is, that is said, and nothing is sent again', async () => {
  answer = (path) => (path.endsWith('/users/me') ? refused(503, 'unavailable') : refused(403, 'invalid_csrf'))
  await expect(call('/enrolment-tokens', { method: 'POST', body: {} })).rejects.toMatchObject({ type: 'unavailable' })
  expect(tokens).toEqual(['c'])
})

test('whoever signs out does so for whichever organisation they act, but nobody signs out somebody else', async () => {
  tokenOf({ ...SOUTH, csrf_token: 'of the south' })
  await logout()
  expect([tokens, shown()]).toEqual([['c', 'of the south'], 'anonymous'])
  signedIn(NORTH)
  tokens.length = 0
  tokenOf({ ...me('north', ['operator'], 'u_2'), csrf_token: 'of another' })
  await expect(logout()).rejects.toThrow('Nothing was done')
  expect([tokens, shown()]).toEqual([['c'], 'north'])
})
