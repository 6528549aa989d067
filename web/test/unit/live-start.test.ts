// The start of a page, in every order in which the first answer, the subscription and the receipts can come.
import { QueryObserver } from '@tanstack/react-query'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LiveHub } from '~/api/live'
import { query, queryClient } from '~/api/queries'
import type { NodeRow, Page, ReceiptRow } from '~/api/types'

class HeldSocket extends EventTarget {
  static latest: HeldSocket
  sent: string[] = []
  #seq = 0
  constructor() {
    super()
    HeldSocket.latest = this
  }
  send(text: string): void {
    this.sent.push(text)
  }
  close(): void {}
  tell(type: string, data: object): void {
    this.#seq += 1
    this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify({ type, data, seq: this.#seq }) }))
  }
}

/** Each question waits until the test answers it. */
const asked: { path: string; answer: (body: object) => void; fail: () => void }[] = []
const receipt = (id: string) => ({ request_id: id }) as ReceiptRow
const receipts = (...ids: string[]) => ({ items: ids.map((id) => receipt(id)), next_cursor: null })
const node = (status: NodeRow['status']) => ({ node_id: 'a', status }) as NodeRow
const nodes = (status: NodeRow['status']) => ({ items: [node(status)], next_cursor: null })
const hub = new LiveHub(queryClient, async () => {})

beforeEach(() => {
  vi.useFakeTimers()
  asked.length = 0
  vi.stubGlobal('WebSocket', HeldSocket)
  vi.stubGlobal('addEventListener', () => {})
  vi.stubGlobal('removeEventListener', () => {})
  vi.stubGlobal('location', { protocol: 'http:', host: 'console.example' })
  vi.stubGlobal('document', Object.assign(new EventTarget(), { hidden: false, cookie: '' }))
  vi.stubGlobal('fetch', (path: string) => new Promise((resolve, reject) => asked.push({ path: String(path), answer: (body) => resolve(Response.json(body)), fail: () => reject(new TypeError('Failed to fetch')) })))
  hub.start()
  HeldSocket.latest.dispatchEvent(new Event('open'))
})
afterEach(() => {
  hub.stop()
  queryClient.clear()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

const passed = () => vi.advanceTimersByTimeAsync(2000)
const isAsked = (times: number) => vi.waitFor(() => expect(asked).toHaveLength(times))
const answer = async (at: number, body: object) => {
  await isAsked(at + 1)
  asked[at]?.answer(body)
  await passed()
}

async function subscribed(): Promise<void> {
  HeldSocket.latest.tell('hello', { server_time: '2026-11-21T03:00:00.000Z', build: '1', role: 'admin' })
  HeldSocket.latest.tell('subscribed', { topics: ['summary', 'nodes', 'receipts'] })
  await passed()
}

test('what came between the first answer and the subscription is read', async () => {
  const { queryKey } = query.nodes({})
  const stop = new QueryObserver(queryClient, query.nodes({})).subscribe(() => {})
  await answer(0, nodes('pending'))
  expect(asked).toHaveLength(1)
  await subscribed()
  await answer(1, nodes('active'))
  expect(queryClient.getQueryData<Page<NodeRow>>(queryKey)?.items).toEqual([node('active')])
  stop()
})

test('a first answer that was made before the subscription and comes after it is not the last', async () => {
  const { queryKey } = query.nodes({})
  const stop = new QueryObserver(queryClient, query.nodes({})).subscribe(() => {})
  await isAsked(1)
  await subscribed()
  await answer(0, nodes('pending'))
  await answer(1, nodes('active'))
  expect(queryClient.getQueryData<Page<NodeRow>>(queryKey)?.items).toEqual([node('active')])
  stop()
})

test('an answer that is older than what was told meanwhile does not undo it', async () => {
  const stops = [query.nodes({}), query.summary()].map((options) => new QueryObserver(queryClient, options as never).subscribe(() => {}))
  await subscribed()
  await isAsked(2)
  HeldSocket.latest.tell('node', node('quarantine'))
  HeldSocket.latest.tell('summary', { active_nodes: 7 })
  await passed()
  for (const { path, answer: give } of asked.slice()) give(path.includes('summary') ? { active_nodes: 8 } : nodes('active'))
  await passed()
  expect(queryClient.getQueryData<Page<NodeRow>>(query.nodes({}).queryKey)?.items).toEqual([node('quarantine')])
  expect(queryClient.getQueryData(query.summary().queryKey)).toMatchObject({ active_nodes: 7 })
  for (const stop of stops) stop()
})

test('receipts that are told while the list is read are on it, once, in their order', async () => {
  const search = { limit: '50' }
  const stop = new QueryObserver(queryClient, query.receipts(search)).subscribe(() => {})
  await isAsked(1)
  for (const id of ['2', '3', '4']) HeldSocket.latest.tell('receipt', receipt(id))
  await passed()
  await answer(0, receipts('3', '2', '1'))
  expect(queryClient.getQueryData<Page<ReceiptRow>>(query.receipts(search).queryKey)?.items.map((row) => row.request_id)).toEqual(['4', '3', '2', '1'])
  stop()
})

test('a list with a filter takes no receipt that it was not asked for', async () => {
  const search = { limit: '50', status: 'error' }
  const stop = new QueryObserver(queryClient, query.receipts(search)).subscribe(() => {})
  await isAsked(1)
  HeldSocket.latest.tell('receipt', receipt('2'))
  await passed()
  await answer(0, receipts('1'))
  expect(queryClient.getQueryData<Page<ReceiptRow>>(query.receipts(search).queryKey)?.items).toEqual([receipt('1')])
  stop()
})

test('a hub that was stopped with a frame in hand shows those of the next socket', async () => {
  await subscribed()
  HeldSocket.latest.tell('summary', { active_nodes: 1 })
  hub.restart()
  await subscribed()
  HeldSocket.latest.tell('summary', { active_nodes: 2 })
  await passed()
  expect(queryClient.getQueryData(query.summary().queryKey)).toMatchObject({ active_nodes: 2 })
})

test('what failed while the socket was away is asked for again once it is back', async () => {
  await subscribed()
  const stop = new QueryObserver(queryClient, { ...query.orgs({}), retry: false }).subscribe(() => {})
  await isAsked(1)
  asked[0]?.fail()
  await passed()
  expect(queryClient.getQueryState(query.orgs({}).queryKey)?.status).toBe('error')
  HeldSocket.latest.dispatchEvent(Object.assign(new Event('close'), { code: 1006 }))
  await passed()
  expect(asked).toHaveLength(1)
  HeldSocket.latest.dispatchEvent(new Event('open'))
  HeldSocket.latest.tell('hello', { server_time: '2026-11-21T03:00:00.000Z', build: '1', role: 'admin' })
  await answer(1, { items: [], next_cursor: null })
  expect(queryClient.getQueryState(query.orgs({}).queryKey)?.status).toBe('success')
  stop()
})
