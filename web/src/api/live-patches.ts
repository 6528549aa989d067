import type { QueryClient } from '@tanstack/react-query'
import type { NodeDetail, NodeRow, Page, ReceiptRow } from '~/api/types'

/** Writes what changed into every cached view of the node. Rows keep their places. */
export function patchNode(client: QueryClient, row: NodeRow): void {
  client.setQueriesData<Page<NodeRow>>({ queryKey: ['nodes'] }, (page) => {
    if (!page?.items.some((item) => item.node_id === row.node_id)) return page
    return { ...page, items: page.items.map((item) => (item.node_id === row.node_id ? { ...item, ...row } : item)) }
  })
  client.setQueryData<NodeDetail>(['node', row.node_id], (detail) => detail && { ...detail, ...row })
}

export interface HeartbeatFrame {
  node_id: string
  at: string
  in_flight?: number | null
  queue?: number | null
  spool_depth?: number | null
  cpu_pct?: number | null
  uptime_s?: number | null
  paused?: boolean | null
}

export function patchHeartbeat(client: QueryClient, beat: HeartbeatFrame): void {
  client.setQueriesData<Page<NodeRow>>({ queryKey: ['nodes'] }, (page) => {
    if (!page?.items.some((item) => item.node_id === beat.node_id)) return page
    const patch = { last_heartbeat_at: beat.at, late: false }
    return { ...page, items: page.items.map((item) => (item.node_id === beat.node_id ? { ...item, ...patch } : item)) }
  })
  client.setQueryData<NodeDetail>(['node', beat.node_id], (detail) => {
    if (!detail) return detail
    const { node_id: _, ...fields } = beat
    const empty = { uptime_s: null, cpu_pct: null, in_flight: null, queue: null, spool_depth: null, paused: null }
    const known = Object.fromEntries(Object.entries(fields).filter(([key]) => key === 'at' || key in empty))
    return { ...detail, last_heartbeat_at: beat.at, late: false, heartbeat: { ...empty, ...detail.heartbeat, ...known, at: beat.at } }
  })
}

const SHOWN_PER_PAGE = 50

/** Puts new receipts on top of the first, unfiltered page. Returns how many were new to it. */
export function prependReceipts(page: Page<ReceiptRow>, fresh: ReceiptRow[], limit = SHOWN_PER_PAGE): Page<ReceiptRow> {
  const known = new Set(page.items.map((row) => row.request_id))
  const added = fresh.filter((row) => !known.has(row.request_id))
  if (added.length === 0) return page
  const total = typeof page.total === 'number' ? page.total + added.length : page.total
  return { ...page, total, items: [...added.toReversed(), ...page.items].slice(0, limit) }
}
