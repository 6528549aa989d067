// What a frame of the socket changes in what is shown. Rows keep their places.
import type { QueryClient } from '@tanstack/react-query'
import { receiptName } from '~/api/receipts'
import type { GpuLoad, HeartbeatDetail, NodeDetail, NodeRow, Page, ReceiptRow } from '~/api/types'

/** A heartbeat as the live socket tells it: of the node's detail what moves with every beat. */
export interface HeartbeatFrame extends HeartbeatDetail {
  node_id: string
  gpus?: GpuLoad[]
}

function inPage(page: Page<NodeRow>, nodeId: string, change: Partial<NodeRow>): Page<NodeRow> {
  if (!page.items.some((item) => item.node_id === nodeId)) return page
  return { ...page, items: page.items.map((item) => (item.node_id === nodeId ? { ...item, ...change } : item)) }
}

const freshness = ({ at }: HeartbeatFrame) => ({ last_heartbeat_at: at, late: false })

export const nodeInPage = (page: Page<NodeRow>, row: NodeRow) => inPage(page, row.node_id, row)

export const beatInPage = (page: Page<NodeRow>, beat: HeartbeatFrame) => inPage(page, beat.node_id, freshness(beat))

export function nodeInDetail(detail: NodeDetail, row: NodeRow): NodeDetail {
  // Numbers from before the GPUs were let go are not those of now.
  const gpuDetails = row.gpus_not_read ? detail.gpu_details?.map((gpu) => ({ ...gpu, load: null })) : detail.gpu_details
  return { ...detail, ...row, gpu_details: gpuDetails }
}

export function beatInDetail(detail: NodeDetail, beat: HeartbeatFrame): NodeDetail {
  const { node_id: _, gpus, ...heartbeat } = beat
  // A beat tells all loads: one that is missing is not known any more.
  const loads = gpus && new Map(gpus.map((load) => [load.index, load]))
  const gpuDetails = detail.gpu_details.map((gpu) => (loads ? { ...gpu, load: loads.get(gpu.index) ?? null } : gpu))
  return { ...detail, ...freshness(beat), heartbeat, gpu_details: gpuDetails }
}

/** Writes what changed into every cached view of the node. */
export function patchNode(client: QueryClient, row: NodeRow): void {
  client.setQueriesData<Page<NodeRow>>({ queryKey: ['nodes'] }, (page) => page && nodeInPage(page, row))
  client.setQueryData<NodeDetail>(['node', row.node_id], (detail) => detail && nodeInDetail(detail, row))
}

export function patchHeartbeat(client: QueryClient, beat: HeartbeatFrame): void {
  client.setQueriesData<Page<NodeRow>>({ queryKey: ['nodes'] }, (page) => page && beatInPage(page, beat))
  client.setQueryData<NodeDetail>(['node', beat.node_id], (detail) => detail && beatInDetail(detail, beat))
}

const SHOWN_PER_PAGE = 50

/**
 * Puts receipts on top of the first, unfiltered page; `fresh` has the oldest first, as the socket tells them.
 *
 * The page may have been read after some of them were told. Both are in the order of their commits, so what comes before
 * one that the page has is on it, or was pushed off its end: only what comes after the last known one is new.
 */
export function prependReceipts(page: Page<ReceiptRow>, fresh: ReceiptRow[], limit = SHOWN_PER_PAGE): Page<ReceiptRow> {
  const known = new Set(page.items.map(receiptName))
  const added = fresh.slice(fresh.findLastIndex((row) => known.has(receiptName(row))) + 1)
  if (added.length === 0) return page
  const total = typeof page.total === 'number' ? page.total + added.length : page.total
  const all = [...added.toReversed(), ...page.items]
  const items = all.slice(0, limit)
  // What was pushed off the end is the beginning of the next page: it starts after the last row that is shown.
  const last = items.at(-1)
  const nextCursor = items.length < all.length && last ? receiptName(last) : page.next_cursor
  return { ...page, total, items, next_cursor: nextCursor ?? null }
}
