// The live hub: one socket per page, frames {type, data, ts, seq}. Everything that the socket feeds is read again when
// the server says that it listens (`subscribed`), because what came between the first answers and that is in no frame;
// and after a gap in seq, which means that frames were dropped. Without a socket the page polls. Nothing is ever cleared.
import type { QueryClient } from '@tanstack/react-query'
import { type HeartbeatFrame, patchHeartbeat, patchNode } from '~/api/live-patches'
import { readAgain, readFailedAgain, readNodeSoon } from '~/api/read-again'
import { receiptArrivals } from '~/api/receipt-arrivals'
import { type Told, told } from '~/api/told'
import type { NodeRow, ReceiptRow, Summary } from '~/api/types'
import { live } from '~/stores/live'
import { liveUrl } from '~/util/path-builder'

const APPLY_EVERY_MS = 500
const BACKOFF_MS = [1000, 2000, 4000, 8000, 15_000]
const SILENCE_MS = 25_000
const POLL_AFTER_MS = 30_000
const POLL_EVERY_MS = 5000
const STALE_AFTER_MS = 60_000
const QUEUE_LIMIT = 2000
/** Close code of the server: the session behind the socket ended, or may see something else now. */
const SIGN_IN = 4401

const LIVE_KEYS = ['summary', 'nodes', 'node', 'receipts', 'receipt-aggregate', 'tokens']

interface Frame {
  type: string
  data: Record<string, unknown>
  ts?: unknown
  seq?: number
}

function parseFrame(text: unknown): Frame | null {
  if (typeof text !== 'string') return null
  try {
    const frame: unknown = JSON.parse(text)
    if (typeof frame !== 'object' || frame === null || !('type' in frame)) return null
    const { type, data, seq } = frame as Partial<Frame>
    if (typeof type !== 'string') return null
    return { type, data: typeof data === 'object' && data !== null ? data : {}, ...(typeof seq === 'number' && { seq }) }
  } catch {
    return null
  }
}

/** What a frame says of the network; nothing for one that says nothing of it. */
function understood({ type, data }: Frame): Told[] {
  if (type === 'snapshot') return data.summary ? [{ type: 'summary', data: data.summary as Summary }] : []
  if (type === 'summary') return [{ type, data: data as unknown as Summary }]
  if (type === 'node') return [{ type, data: data as unknown as NodeRow }]
  if (type === 'heartbeat') return [{ type, data: data as unknown as HeartbeatFrame }]
  if (type === 'receipt') return [{ type, data: data as unknown as ReceiptRow }]
  return []
}

export class LiveHub {
  #client: QueryClient
  #renewSession: (isEnded: boolean) => Promise<unknown>
  #onReturn: () => void
  #socket: WebSocket | null = null
  #seq: number | null = null
  #queue: Frame[] = []
  #applyTimer: ReturnType<typeof setTimeout> | undefined
  #retryTimer: ReturnType<typeof setTimeout> | undefined
  #pollTimer: ReturnType<typeof setInterval> | undefined
  #watchTimer: ReturnType<typeof setInterval> | undefined
  #lastApplied = 0
  #attempts = 0
  #downSince: number | null = null
  #build: string | null = null
  #isStopped = true
  #hasOpened = false

  /**
   * `renewSession` is called where the server may have refused the socket for want of one, or says that it has ended or may
   * see something else; `onReturn` where the socket came back: while it was away, nobody said so.
   */
  constructor(client: QueryClient, renewSession: (isEnded: boolean) => Promise<unknown>, onReturn: () => void = () => {}) {
    this.#client = client
    this.#renewSession = renewSession
    this.#onReturn = onReturn
  }

  start(): void {
    if (!this.#isStopped) return
    this.#isStopped = false
    this.#downSince = Date.now()
    this.#connect()
    this.#watchTimer = setInterval(() => this.#watch(), 1000)
    globalThis.addEventListener('online', this.#retryNow)
    document.addEventListener('visibilitychange', this.#retryNow)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#applyTimer)
    // One that is left set would keep the frames of the next socket waiting for ever.
    this.#applyTimer = undefined
    this.#queue = []
    clearTimeout(this.#retryTimer)
    clearInterval(this.#pollTimer)
    clearInterval(this.#watchTimer)
    this.#pollTimer = undefined
    globalThis.removeEventListener('online', this.#retryNow)
    document.removeEventListener('visibilitychange', this.#retryNow)
    this.#socket?.close()
    this.#socket = null
  }

  /** A new session sees other things: connect anew under it. */
  restart(): void {
    this.stop()
    this.#attempts = 0
    this.start()
  }

  #retryNow = (): void => {
    if (this.#isStopped || document.hidden || this.#socket) return
    clearTimeout(this.#retryTimer)
    this.#connect()
  }

  #connect(): void {
    this.#seq = null
    let socket: WebSocket
    try {
      socket = new WebSocket(liveUrl(location))
    } catch {
      this.#scheduleRetry()
      return
    }
    this.#socket = socket
    let isOpen = false
    socket.addEventListener('open', () => {
      isOpen = true
      socket.send(JSON.stringify({ type: 'sub', topics: ['summary', 'nodes', 'receipts'] }))
    })
    socket.addEventListener('message', (event) => {
      if (socket === this.#socket) this.#receive(event.data)
    })
    socket.addEventListener('close', ({ code }) => {
      if (socket !== this.#socket) return
      this.#socket = null
      if (this.#isStopped) return
      // A refused upgrade tells no reason; an expired session is the likeliest one that we can mend.
      if (code === SIGN_IN || !isOpen) void this.#renewSession(code === SIGN_IN).then(() => this.#socket ?? this.#scheduleRetry())
      else this.#scheduleRetry()
    })
  }

  #scheduleRetry(): void {
    if (this.#isStopped) return
    this.#downSince ??= Date.now()
    clearTimeout(this.#retryTimer)
    const step = BACKOFF_MS[Math.min(this.#attempts, BACKOFF_MS.length - 1)] ?? 15_000
    this.#attempts += 1
    this.#retryTimer = setTimeout(() => this.#connect(), step * (0.5 + Math.random() / 2))
    this.#watch()
  }

  #receive(text: unknown): void {
    const frame = parseFrame(text)
    if (!frame) return
    const hasGap = frame.seq !== undefined && this.#seq !== null && frame.seq !== this.#seq + 1
    if (frame.seq !== undefined) this.#seq = frame.seq
    live.set((now) => ({ ...now, heardAt: Date.now() }))
    if (frame.type === 'hello') this.#greet(frame.data)
    else if (frame.type !== 'ping') this.#enqueue(frame)
    if (hasGap || frame.type === 'subscribed' || frame.type === 'missed' || this.#queue.length >= QUEUE_LIMIT) this.#resync()
  }

  #greet({ server_time: time, build }: Record<string, unknown>): void {
    const serverMs = typeof time === 'string' ? Date.parse(time) : Number(time)
    const offset = Number.isFinite(serverMs) ? serverMs - Date.now() : 0
    const isNewBuild = this.#build !== null && build !== this.#build
    if (typeof build === 'string') this.#build ??= build
    clearInterval(this.#pollTimer)
    this.#pollTimer = undefined
    this.#downSince = null
    this.#attempts = 0
    live.set((now) => ({ ...now, state: 'live', clockOffsetMs: offset, isOutdated: now.isOutdated || isNewBuild }))
    if (this.#hasOpened) {
      readFailedAgain(this.#client)
      this.#onReturn()
    }
    this.#hasOpened = true
  }

  #enqueue(frame: Frame): void {
    this.#queue.push(frame)
    if (this.#applyTimer) return
    // A clock that was set back makes nobody wait for longer than usual.
    const wait = Math.min(APPLY_EVERY_MS, Math.max(0, this.#lastApplied + APPLY_EVERY_MS - Date.now()))
    this.#applyTimer = setTimeout(() => this.#apply(), wait)
  }

  #apply(): void {
    this.#applyTimer = undefined
    this.#lastApplied = Date.now()
    const frames = this.#queue
    this.#queue = []
    const heard = frames.flatMap(understood)
    told.add(heard)
    for (const { type, data } of heard) {
      if (type === 'summary') this.#client.setQueryData(['summary'], (now?: Summary) => ({ ...now, ...data }))
      else if (type === 'node') {
        patchNode(this.#client, data)
        readNodeSoon(this.#client, data.node_id)
      }
      else if (type === 'heartbeat') patchHeartbeat(this.#client, data)
    }
    const receipts = heard.flatMap(({ type, data }) => (type === 'receipt' ? [data] : []))
    if (receipts.length > 0) receiptArrivals.announce(receipts)
  }

  #resync(): void {
    this.#queue = []
    readAgain(this.#client)
  }

  #watch(): void {
    const now = Date.now()
    const { heardAt, state } = live.get()
    if (this.#socket && state === 'live' && heardAt !== null && now - heardAt > SILENCE_MS) {
      this.#socket.close()
      this.#socket = null
      this.#scheduleRetry()
      return
    }
    if (this.#downSince === null) return
    const down = now - this.#downSince
    if (down >= POLL_AFTER_MS || (!this.#hasOpened && this.#attempts >= 2)) this.#poll()
    else live.set((was) => ({ ...was, state: this.#hasOpened ? 'reconnecting' : 'connecting' }))
  }

  #poll(): void {
    const { heardAt } = live.get()
    const isStale = heardAt !== null && Date.now() - heardAt > STALE_AFTER_MS
    live.set((was) => ({ ...was, state: isStale ? 'stale' : 'polling' }))
    this.#pollTimer ??= setInterval(() => {
      if (document.hidden) return
      readAgain(this.#client)
      void this.#client
        .getQueryCache()
        .findAll({ predicate: ({ queryKey, state }) => LIVE_KEYS.includes(String(queryKey[0])) && state.dataUpdatedAt > (live.get().heardAt ?? 0) })
        .some(({ state }) => {
          live.set((was) => ({ ...was, heardAt: state.dataUpdatedAt }))
          return true
        })
    }, POLL_EVERY_MS)
  }
}
