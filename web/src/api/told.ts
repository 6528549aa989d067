// What the socket told lately. An answer over HTTP may be older than what was told while it was on its way: it must not
// undo that. Every read of something live therefore ends by putting what was told since it was asked for on top.
import { type HeartbeatFrame, beatInDetail, beatInPage, nodeInDetail, nodeInPage, prependReceipts } from '~/api/live-patches'
import type { NodeDetail, NodeRow, Page, ReceiptRow, Summary } from '~/api/types'
import { RECEIPTS_PER_PAGE } from '~/util/filters'

export type Told =
  | { type: 'summary'; data: Summary }
  | { type: 'node'; data: NodeRow }
  | { type: 'heartbeat'; data: HeartbeatFrame }
  | { type: 'receipt'; data: ReceiptRow }

/** More than come while one answer is on its way; of more the oldest are forgotten. */
const KEPT = 2000

function createLog() {
  let kept: Told[] = []
  let count = 0
  return {
    add: (frames: Told[]) => {
      count += frames.length
      kept = [...kept, ...frames].slice(-KEPT)
    },
    mark: () => count,
    since: (mark: number) => (mark === count ? [] : kept.slice(-(count - mark))),
  }
}

export const told = createLog()

/** Asks, and puts on the answer what was told meanwhile. */
export async function readLive<T>(ask: () => Promise<T>, put: (answer: T, frames: Told[]) => T): Promise<T> {
  const asked = told.mark()
  const answer = await ask()
  return put(answer, told.since(asked))
}

export const onSummary = (summary: Summary, frames: Told[]): Summary =>
  frames.reduce((now, { type, data }) => (type === 'summary' ? { ...now, ...data } : now), summary)

export const onNodes = (page: Page<NodeRow>, frames: Told[]): Page<NodeRow> =>
  frames.reduce((now, { type, data }) => (type === 'node' ? nodeInPage(now, data) : type === 'heartbeat' ? beatInPage(now, data) : now), page)

export const onNode = (detail: NodeDetail, frames: Told[]): NodeDetail =>
  frames.reduce((now, { type, data }) => {
    if (type !== 'node' && type !== 'heartbeat') return now
    if (data.node_id !== now.node_id) return now
    return type === 'node' ? nodeInDetail(now, data) : beatInDetail(now, data)
  }, detail)

export function onReceipts(page: Page<ReceiptRow>, frames: Told[]): Page<ReceiptRow> {
  const rows = frames.flatMap(({ type, data }) => (type === 'receipt' ? [data] : []))
  return prependReceipts(page, rows, RECEIPTS_PER_PAGE)
}
