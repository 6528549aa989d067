// The control plane's shapes without a control plane, for `npm run dev` alone. Query `?mock=error` or `empty` shows those states.
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Plugin } from 'vite'
import { answerOwn, authState, isOwn, own } from './account.ts'
import { answerKeys, isOfKeys } from './keys.ts'
import { change, isRefusal, me, orgs, users } from './people.ts'
import { changePools, pools } from './pools.ts'
import { changeTokens, tokenList } from './tokens.ts'
import { addReceipt, detail, endSessions, nodes, receipts, sessions, summary, trends } from './data.ts'

const RECEIPT_EVERY_MS = 4000

function paged<T>(items: T[], query: URLSearchParams) {
  const [limit, from] = [Number(query.get('limit') ?? 50), Number(query.get('cursor') ?? 0)]
  return { items: items.slice(from, from + limit), next_cursor: from + limit < items.length ? String(from + limit) : null, total: items.length }
}

function answer(path: string, query: URLSearchParams, mode: string | null): unknown {
  const parts = path.split('/').filter(Boolean)
  const isEmpty = mode === 'empty'
  if (path === '/auth/state') return authState
  if (path.startsWith('/auth') || path === '/users/me') return { ...me(), ...own }
  if (path === '/summary') return isEmpty ? { ...summary(), active_nodes: 0, nodes: { pending: 0, active: 0, quarantine: 0, offline: 0 }, p95_global: null, p95_by_region: [], requests_24h: 0, error_rate: null, tokens_24h: { input: 0, output: 0, not_counted: 0 }, models_cached: 0 } : summary()
  if (path === '/summary/trends') return trends()
  if (path === '/enrolment-tokens') return paged(isEmpty ? [] : tokenList(), query)
  if (path === '/sessions') return { items: isEmpty ? [] : sessions }
  if (path === '/regions') return { items: ['local', 'eu-west', 'us-east'].map((region) => ({ region, nodes: nodes.filter((row) => row.region === region).length })), elsewhere: 0 }
  if (path === '/downloads') return { items: [] }
  if (path === '/nodes/agent.yaml') return 'control_plane:\n  api: http://127.0.0.1:8080\n'
  if (path === '/nodes') {
    const wanted = (row: (typeof nodes)[number]) =>
      (!query.get('status') || query.get('status')?.split(',').includes(row.status)) && (query.get('owner') !== 'self' || !row.withheld) && (!query.get('region') || query.get('region') === row.region) && (!query.get('q') || row.node_id.includes(query.get('q') ?? ''))
    return paged(isEmpty ? [] : nodes.filter(wanted), query)
  }
  if (path === '/receipts') {
    const q = query.get('q') ?? ''
    return paged(isEmpty ? [] : receipts.map(({ receipt }) => receipt).filter((row) => row.request_id.includes(q) || row.model_id.includes(q)).toReversed(), query)
  }
  if (path === '/receipts/aggregate') return { count: receipts.length, tokens_input: 284_113, tokens_output: 81_904, tokens_not_counted: 30, cache_hit_share: 0.3333, failures: 7, p50_ms: 410, p95_ms: 1180, indexed_to: new Date().toISOString(), complete: true }
  if (path === '/assignments') return paged(isEmpty ? [] : nodes.map(detail), query)
  if (path === '/users') return paged(isEmpty ? [] : users.filter((user) => user.email.includes(query.get('q') ?? '') && (!query.get('org_id') || user.memberships.some((one) => one.org_id === query.get('org_id')))), query)
  if (path === '/orgs') return paged(isEmpty ? [] : orgs, query)
  if (path === '/pools') return paged(isEmpty ? [] : pools.filter((pool) => pool.name.includes(query.get('q') ?? '') && (!query.get('org') || pool.org_id === query.get('org')) && Boolean(pool.closed_at) === (query.get('closed') === 'true')), query)
  const id = decodeURIComponent(parts[1] ?? '')
  if (parts[0] === 'pools') return pools.find((pool) => pool.pool_id === id) ?? null
  if (parts[0] === 'users') return users.find((user) => user.user_id === id) ?? null
  const node = parts[0] === 'nodes' && nodes.find(({ node_id: name }) => name === id)
  if (node) return detail(node)
  const receipt = parts[0] === 'receipts' && receipts.find(({ receipt: row }) => row.request_id === id)
  return receipt ? (parts[2] === 'raw' ? receipt.raw : receipt) : null
}

async function bodyOf(request: IncomingMessage): Promise<object> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text ? (JSON.parse(text) as object) : {}
}

async function changed(request: IncomingMessage, path: string): Promise<unknown> {
  const [method, body] = [request.method ?? 'GET', await bodyOf(request)]
  return changePools(method, path, body) ?? changeTokens(method, path, body) ?? change(method, path, body)
}

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://mock')
  const mode = new URL(request.headers.referer ?? 'http://mock').searchParams.get('mock')
  const send = (status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'req_8f3a' })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  }
  if (mode === 'error' && !/users\/me|auth/.test(url.pathname)) return send(500, { error: { type: 'internal', message: 'The store did not answer.', request_id: 'req_8f3a51', details: {} } })
  if (request.method === 'DELETE' && url.pathname.startsWith('/sessions')) return send(200, { ended: endSessions(url.pathname.split('/')[2]) })
  if (isOfKeys(url.pathname)) return void answerKeys(request, url.pathname, mode === 'empty').then((body) => send(200, body))
  const done = isOwn(url.pathname) ? await answerOwn(request, url.pathname, mode === 'empty') : await changed(request, url.pathname)
  if (isRefusal(done)) {
    if (done.status === 429) response.setHeader('retry-after', '312')
    return send(done.status, { error: { ...done, request_id: 'req_8f3a51' } })
  }
  const body = done ?? answer(url.pathname, url.searchParams, mode)
  if (body === null) send(404, { error: { type: 'not_found', message: 'No such object, or not yours to see.', request_id: 'req_8f3a51', details: {} } })
  else send(200, body)
}

/** Just enough of RFC 6455 to say text frames of up to 64 KiB; what the page says is not read. */
function live(request: IncomingMessage, socket: Duplex): void {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`)
  let seq = 0
  const say = (type: string, data: unknown) => {
    seq += 1
    const text = Buffer.from(JSON.stringify({ type, data, ts: new Date().toISOString(), seq }))
    const head = text.length < 126 ? Buffer.from([0x81, text.length]) : Buffer.from([0x81, 126, text.length >> 8, text.length & 255])
    socket.write(Buffer.concat([head, text]))
  }
  say('hello', { server_time: new Date().toISOString(), build: 'mock', role: 'admin' })
  const timer = setInterval(() => {
    say('receipt', addReceipt())
    say('summary', summary())
  }, RECEIPT_EVERY_MS)
  socket.on('close', () => clearInterval(timer))
  socket.on('error', () => clearInterval(timer))
}

export function mockApi(): Plugin {
  return {
    name: 'dgon-mock-api',
    apply: 'serve',
    configureServer: (server) => {
      server.middlewares.use('/api/v1', (request, response) => void respond(request, response))
      server.httpServer?.on('upgrade', (request, socket) => {
        if (request.url?.startsWith('/api/v1/live')) live(request, socket)
      })
    },
  }
}
