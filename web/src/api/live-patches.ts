import type { QueryClient } from '@tanstack/react-query'
import type { GpuLoad, HeartbeatDetail, NodeDetail, NodeRow, Page, ReceiptRow } from '~/api/types'

/** Writes what changed into every cached view of the node. Rows keep their places. */
export function patchNode(client: QueryClient, row: NodeRow): void {
  client.setQueriesData<Page<NodeRow>>({ queryKey: ['nodes'] }, (page) => {
    if (!page?.items.some((item) => item.node_id === row.node_id)) return page
    return { ...page, items: page.items.map((item) => (item.node_id === row.node_id ? { ...item, ...row } : item)) }
  })
  client.setQueryData<NodeDetail>(['node', row.node_id], (detail) => {
    if (!detail) return detail
    // Numbers from before the GPUs were let go are not those of now.
    const gpuDetails = row.gpus_not_read ? detail.gpu_details?.map((gpu) => ({ ...gpu, load: null })) : detail.gpu_details
    return { ...detail, ...row, gpu_details: gpuDetails }
  })
}

/** A heartbeat as the live socket tells it: of the node's detail what moves with every beat. */
export interface HeartbeatFrame extends HeartbeatDetail {
  node_id: string
  gpus?: GpuLoad[]
}

export function patchHeartbeat(client: QueryClient, { node_id: nodeId, gpus, ...heartbeat }: HeartbeatFrame): void {
  const fresh = { last_heartbeat_at: heartbeat.at, late: false }
  client.setQueriesData<Page<NodeRow>>({ queryKey: ['nodes'] }, (page) => {
    if (!page?.items.some((item) => item.node_id === nodeId)) return page
    return { ...page, items: page.items.map((item) => (item.node_id === nodeId ? { ...item, ...fresh } : item)) }
  })
  client.setQueryData<NodeDetail>(['node', nodeId], (detail) => {
    if (!detail) return detail
    // A beat tells all loads: one that is missing is not known any more.
    const loads = gpus && new Map(gpus.map((load) => [load.index, load]))
    const gpuDetails = detail.gpu_details.map((gpu) => (loads ? { ...gpu, load: loads.get(gpu.index) ?? null } : gpu))
    return { ...detail, ...fresh, heartbeat, gpu_details: gpuDetails }
  })
}

const SHOWN_PER_PAGE = 50

/** Puts new receipts on top of the first, unfiltered page. Returns how many were new to it. */
export function prependReceipts(page: Page<ReceiptRow>, fresh: ReceiptRow[], limit = SHOWN_PER_PAGE): Page<ReceiptRow> {
  const known = new Set(page.items.map((row) => row.request_id))
  const added = fresh.filter((row) => !known.has(row.request_id))
  if (added.length === 0) return page
  const total = typeof page.total === 'number' ? page.total + added.length : page.total
  const all = [...added.toReversed(), ...page.items]
  const items = all.slice(0, limit)
  // What was pushed off the end is the beginning of the next page: it starts after the last row that is shown.
  const nextCursor = items.length < all.length ? items.at(-1)?.request_id : page.next_cursor
  return { ...page, total, items, next_cursor: nextCursor ?? null }
}
