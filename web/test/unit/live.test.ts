import { QueryClient, QueryObserver } from '@tanstack/react-query'
import { expect, test, vi } from 'vitest'
import { patchHeartbeat, patchNode, prependReceipts } from '~/api/live-patches'
import { LiveHub } from '~/api/live'
import { readNodeSoon } from '~/api/read-again'
import type { NodeRow, Page, ReceiptRow } from '~/api/types'
import { hourlyChange } from '~/util/trend'

const row = (node_id: string, status: NodeRow['status'] = 'active') => ({ node_id, status, late: true, last_heartbeat_at: null }) as NodeRow
const receipt = (request_id: string) => ({ request_id }) as ReceiptRow

test('a node that changes keeps its place in every list', () => {
  const client = new QueryClient()
  client.setQueryData(['nodes', {}], { items: [row('a'), row('b'), row('c')], next_cursor: null })
  client.setQueryData(['nodes', { region: 'x' }], { items: [row('c')], next_cursor: null })
  patchNode(client, row('b', 'quarantine'))
  const all = client.getQueryData<Page<NodeRow>>(['nodes', {}])
  expect(all?.items.map(({ node_id: id, status }) => `${id} ${status}`)).toEqual(['a active', 'b quarantine', 'c active'])
  expect(client.getQueryData<Page<NodeRow>>(['nodes', { region: 'x' }])?.items).toHaveLength(1)
  expect(client.getQueryData(['node', 'b'])).toBeUndefined()
})

test('a heartbeat renews the age and leaves the rest', () => {
  const client = new QueryClient()
  client.setQueryData(['nodes', {}], { items: [row('a')], next_cursor: null })
  client.setQueryData(['node', 'a'], { ...row('a'), heartbeat: null, gpu_details: [{ index: 0, load: null }, { index: 1, load: null }] })
  patchHeartbeat(client, {
    node_id: 'a',
    at: '2026-11-21T03:00:00.000Z',
    uptime_s: 5,
    in_flight: 2,
    queue: null,
    spool_depth: 0,
    paused: false,
    gpus: [{ index: 1, util_pct: 40 }],
  })
  expect(client.getQueryData<Page<NodeRow>>(['nodes', {}])?.items[0]).toMatchObject({ late: false, last_heartbeat_at: '2026-11-21T03:00:00.000Z' })
  // What the heartbeat did not say is unknown, not 0.
  expect(client.getQueryData(['node', 'a'])).toMatchObject({
    heartbeat: { in_flight: 2, queue: null },
    gpu_details: [{ load: null }, { load: { util_pct: 40 } }],
  })
})

test('a shown node is read again once for many changes, and the last of them is in it', async () => {
  vi.useFakeTimers()
  const client = new QueryClient()
  let head = 0
  const read = vi.fn(() => Promise.resolve({ head }))
  const shown = new QueryObserver(client, { queryKey: ['node', 'a'], queryFn: read })
  const leave = shown.subscribe(() => {})
  await vi.runAllTimersAsync()
  expect(read).toHaveBeenCalledTimes(1)
  for (head = 1; head < 9; head++) readNodeSoon(client, 'a')
  readNodeSoon(client, 'b')
  await vi.advanceTimersByTimeAsync(1_000)
  expect(read).toHaveBeenCalledTimes(2)
  expect(shown.getCurrentResult().data).toEqual({ head: 9 })
  // One that takes long is waited for, and then what came meanwhile is read.
  read.mockImplementation(() => new Promise((resolve) => setTimeout(() => resolve({ head: 10 }), 2_500)))
  readNodeSoon(client, 'a')
  await vi.advanceTimersByTimeAsync(1_000)
  readNodeSoon(client, 'a')
  await vi.advanceTimersByTimeAsync(2_400)
  expect(read).toHaveBeenCalledTimes(3)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(shown.getCurrentResult().data).toEqual({ head: 10 })
  expect(read).toHaveBeenCalledTimes(4)
  // What nobody sees is read when it is seen.
  vi.stubGlobal('document', { hidden: true, visibilityState: 'hidden' })
  readNodeSoon(client, 'a')
  await vi.advanceTimersByTimeAsync(4_000)
  expect(read).toHaveBeenCalledTimes(4)
  expect(client.getQueryState(['node', 'a'])?.isInvalidated).toBe(true)
  vi.unstubAllGlobals()
  leave()
  vi.useRealTimers()
})

test('no load stays on screen that is not of now', () => {
  const client = new QueryClient()
  const beat = { node_id: 'a', at: '2026-11-21T03:00:00.000Z', uptime_s: 5, in_flight: 0, spool_depth: 0, paused: false }
  const loads = () => (client.getQueryData(['node', 'a']) as { gpu_details: { load: unknown }[] }).gpu_details.map(({ load }) => load)
  const busy = { ...row('a'), heartbeat: null, gpu_details: [{ index: 0, load: { index: 0, util_pct: 90 } }] }
  client.setQueryData(['node', 'a'], busy)
  patchHeartbeat(client, { ...beat, gpus: [] })
  expect(loads()).toEqual([null])
  client.setQueryData(['node', 'a'], busy)
  patchNode(client, { ...row('a'), gpus_not_read: 'released' })
  expect(loads()).toEqual([null])
})

test('new receipts go on top, once, newest first', () => {
  const page: Page<ReceiptRow> = { items: [receipt('2'), receipt('1')], next_cursor: null, total: 2 }
  const next = prependReceipts(page, [receipt('2'), receipt('3'), receipt('4')], 3)
  expect(next.items.map(({ request_id: id }) => id)).toEqual(['4', '3', '2'])
  expect(next.total).toBe(4)
  expect(prependReceipts(next, [receipt('4')], 3)).toBe(next)
})

test('the change of the last hour leaves the open bucket out', () => {
  const series = [10, 10, 10, 10, 20, 20, 20, 20, 1]
  expect(hourlyChange(series, 'sum')).toBe(1)
  expect(hourlyChange([null, null, null, null, 5, 5, 5, 5, 5], 'mean')).toBeNull()
})

test.each([
  [4401, true],
  [1006, false],
])('a socket that closes with %i tells whether the session has ended', (code, isEnded) => {
  const opened: EventTarget[] = []
  class Socket extends EventTarget {
    constructor() {
      super()
      opened.push(this)
    }
    close(): void {}
  }
  vi.stubGlobal('WebSocket', Socket)
  vi.stubGlobal('addEventListener', () => {})
  vi.stubGlobal('removeEventListener', () => {})
  vi.stubGlobal('location', { protocol: 'http:', host: 'console.example' })
  vi.stubGlobal('document', new EventTarget())
  const renew = vi.fn(async () => {})
  const hub = new LiveHub(new QueryClient(), renew)
  hub.start()
  opened[0]?.dispatchEvent(Object.assign(new Event('close'), { code }))
  hub.stop()
  vi.unstubAllGlobals()
  expect(renew.mock.calls).toEqual([[isEnded]])
})
