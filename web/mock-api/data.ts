// A small network to look at while developing: typed by the API, signed for real where the console verifies.
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import type { NodeDetail, NodeRow, NodeStatus, OpenSession, ReceiptDetail, ReceiptRow, Summary, Trends } from '../src/api/types.ts'

const STEP_S = 900
const BUCKETS = 96
const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const rawKey = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
export const KEY = `ed25519:${rawKey.toString('base64')}`
export const KEY_ID = createHash('sha256').update(rawKey).digest('hex').slice(0, 16)

const iso = (ms: number) => new Date(ms).toISOString()
const REGIONS = ['eu-west', 'eu-central', 'us-east', 'ap-southeast']
const GPUS = ['NVIDIA H100 80GB HBM3', 'NVIDIA GeForce RTX 4090', 'Apple M3 Max', 'NVIDIA L40S']
const MODELS = ['llama3.1:8b', 'qwen2.5:32b-instruct-q4_K_M', 'mistral-small:24b', 'gemma2:9b']
const RUNTIMES = ['vllm', 'ollama', 'llama.cpp', 'tgi']
const STATUSES: NodeStatus[] = ['active', 'active', 'active', 'active', 'active', 'pending', 'quarantine', 'offline']
const pick = <T>(list: readonly T[], i: number): T => list[i % list.length] as T

function node(i: number): NodeRow {
  const status = pick(STATUSES, i)
  const isMac = pick(GPUS, i).startsWith('Apple')
  return {
    node_id: isMac ? `studio-${String(i).padStart(3, '0')}` : `rack${1 + (i % 4)}-gpu-${String(i).padStart(3, '0')}`,
    region: pick(REGIONS, i * 7),
    status,
    status_reason: { active: 'probe_ok', pending: 'waiting for its first probe', quarantine: 'invalid_signature', offline: 'no heartbeat for 90 s' }[status],
    status_since: iso(Date.now() - 3_600_000 * (1 + (i % 30))),
    runtimes: [{ kind: pick(RUNTIMES, i), version: '0.11.2', ready: status !== 'pending' }],
    models: MODELS.slice(0, 1 + (i % 3)),
    gpus: Array.from({ length: isMac ? 1 : 1 + (i % 4) }, () => pick(GPUS, i)),
    p95_ms: status === 'pending' ? null : 180 + ((i * 137) % 1900),
    requests_24h: status === 'pending' ? 0 : (i * 7919) % 42_000,
    last_heartbeat_at: status === 'pending' ? null : iso(Date.now() - (status === 'offline' ? 5_400_000 : 1000 * (i % 10))),
    late: status === 'offline',
    connected: status === 'active' || status === 'quarantine',
    agent_version: isOthers(i) ? null : '0.1.0',
    withheld: isOthers(i),
  }
}

/** Some are another organisation's. */
const isOthers = (i: number) => i % 5 === 4

export const nodes: NodeRow[] = Array.from({ length: 64 }, (_, i) => node(i))
export const receipts: ReceiptDetail[] = []

export function addReceipt(at = Date.now()): ReceiptRow {
  const seq = receipts.length + 1
  const owner = nodes[0] as NodeRow
  const before = receipts.at(-1)
  const status = seq % 23 === 0 ? 'error' : seq % 17 === 0 ? 'cancelled' : 'ok'
  const tokensSource = seq % 11 === 0 ? 'unknown' : seq % 13 === 0 ? 'chunks' : seq % 19 === 0 ? 'unpaid' : 'usage'
  const fields = {
    cache_hit: seq % 3 === 0,
    hedged: false,
    key_id: KEY_ID,
    latency_ms: 900 + ((seq * 271) % 9000),
    model_hash: `sha256:${createHash('sha256').update('weights').digest('hex')}`,
    model_id: pick(MODELS, seq),
    node_id: owner.node_id,
    output_hash: `blake3:${createHash('sha256').update(`out${seq}`).digest('hex')}`,
    p95_ms: 12 + (seq % 40),
    prev_hash: `sha256:${before?.entry_sha256 ?? '0'.repeat(64)}`,
    prompt_hash: `blake3:${createHash('sha256').update(`in${seq}`).digest('hex')}`,
    region: owner.region,
    request_id: `r_01J8KQ${String(seq).padStart(20, '0')}`,
    runtime: 'vllm',
    s3_checkpoints: [100, 200, 300],
    seq,
    source: seq % 9 === 0 ? 'probe' : 'local',
    status,
    tokens_cached: seq % 3 === 0 ? 64 : 0,
    tokens_input: tokensSource === 'usage' ? 40 + ((seq * 53) % 3000) : 0,
    tokens_output: tokensSource === 'usage' || tokensSource === 'chunks' ? 20 + ((seq * 31) % 900) : 0,
    tokens_source: tokensSource,
    ts_end: Math.floor(at / 1000),
    ts_start: Math.floor(at / 1000) - 4,
    ttft_ms: 120 + ((seq * 97) % 1400),
    version: '1.1',
  }
  const signature = `ed25519:${sign(null, Buffer.from(JSON.stringify(fields)), privateKey).toString('base64')}`
  // Members in canonical order: `signature` stands between `seq` and `source`.
  const raw = JSON.stringify(fields).replace('"source":', `"signature":${JSON.stringify(signature)},"source":`)
  const receipt = { ...fields, ts_start: iso(fields.ts_start * 1000), ts_end: iso(fields.ts_end * 1000), received_at: iso(at) } as unknown as ReceiptRow
  if (before) before.chain.next_request_id = fields.request_id
  receipts.push({
    receipt,
    raw,
    entry_sha256: createHash('sha256').update(raw).digest('hex'),
    public_key: KEY,
    key_id: KEY_ID,
    key_valid_from: iso(Date.now() - 86_400_000 * 20),
    verification: { verdict: 'valid', verified_at: iso(at + 40) },
    chain: { seq, prev_request_id: before?.receipt.request_id ?? null, next_request_id: null },
  })
  return receipt
}
for (let i = 180; i > 0; i -= 1) addReceipt(Date.now() - i * 90_000)

const session = (id: string, hours: number, user_agent: string | null, ip: string, method = 'password'): OpenSession => ({
  id,
  is_current: hours === 0,
  method,
  ip,
  user_agent,
  created_at: iso(Date.now() - hours * 3_600_000),
  renewed_at: iso(Date.now() - hours * 600_000),
  expires_at: iso(Date.now() + (720 - hours) * 3_600_000),
})

export const sessions: OpenSession[] = [
  session('s_1', 0, 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0', '192.168.1.20'),
  session('s_2', 30, 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1', '2001:db8:85a3:8d3:1319:8a2e:370:7348', 'link'),
  session('s_3', 200, 'acme-monitor/3.1', '203.0.113.7', 'unknown'),
]

/** Ends the one, or all but the one in use. */
export function endSessions(id?: string): number {
  const before = sessions.length
  sessions.splice(0, before, ...sessions.filter((one) => (id === undefined ? one.is_current : one.id !== id)))
  return before - sessions.length
}

export const summary = (): Summary => {
  const by = (status: NodeStatus) => nodes.filter((row) => row.status === status).length
  return {
    active_nodes: by('active'),
    nodes: { pending: by('pending'), active: by('active'), quarantine: by('quarantine'), offline: by('offline') },
    p95_global: 642,
    p95_by_region: REGIONS.map((region, i) => ({ region, p95_ms: [412, 655, 1720, null][i] ?? null, requests: [120_412, 90_311, 41_900, 0][i] ?? 0 })),
    models_cached: 14,
    requests_24h: 252_623 + receipts.length,
    tokens_24h: { input: 184_200_113, output: 61_904_777, not_counted: 312 },
    error_rate: 0.0041,
    as_of: iso(Date.now()),
  }
}

export function trends(): Trends {
  const start = Math.floor(Date.now() / 1000 / STEP_S) * STEP_S - (BUCKETS - 1) * STEP_S
  const wave = (i: number, phase: number) => 1 + 0.55 * Math.sin((i / BUCKETS) * 6.28 + phase) + 0.12 * Math.sin(i * 1.7 + phase)
  const of = (make: (i: number) => number | null) => Array.from({ length: BUCKETS }, (_, i) => make(i))
  return {
    start: iso(start * 1000),
    step_s: STEP_S,
    series: {
      requests: of((i) => Math.round(2600 * wave(i, 0))),
      tokens: of((i) => Math.round(2_500_000 * wave(i, 0.3))),
      p50_ms: of((i) => (i > 40 && i < 46 ? null : Math.round(210 * wave(i, 2)))),
      p95_ms: of((i) => (i > 40 && i < 46 ? null : Math.round(620 * wave(i, 2.4)))),
      errors: of((i) => Math.max(0, Math.round(14 * wave(i, 4) - 6))),
    },
  }
}

export function detail(row: NodeRow): NodeDetail {
  const isMac = row.gpus[0]?.startsWith('Apple') ?? false
  return {
    ...row,
    public_key: KEY,
    key_id: KEY_ID,
    enrolled_at: iso(Date.now() - 86_400_000 * 20),
    os: isMac ? 'macos' : 'linux',
    arch: isMac ? 'aarch64' : 'x86_64',
    host: row.withheld ? {} : { os_version: isMac ? 'macOS 15.2' : 'Debian GNU/Linux 12', cpu: isMac ? 'Apple M3 Max' : 'AMD EPYC 9354', cores: isMac ? 16 : 64, memory_mib: isMac ? 131_072 : 524_288 },
    gpu_details: row.gpus.map((name, index) => ({
      index,
      name,
      uuid: isMac || row.withheld ? null : `GPU-5f0c${index}a1e-77c2-4f6e-9a83-1c2d3e4f5a6b`,
      vram_mib: isMac ? null : 81_559,
      driver: isMac ? null : '570.124.06',
      cuda: isMac ? null : '12.8',
      backend: isMac ? 'metal' : 'cuda',
      load: { index, util_pct: 0, vram_used_mib: isMac ? null : 61_204, temp_c: isMac ? null : 61, power_w: isMac ? null : 412 },
    })),
    models_detail: row.models.map((id) => ({ runtime: row.runtimes[0]?.kind ?? 'vllm', id, digest: null, size_bytes: 4_920_000_000, loaded: true })),
    heartbeat: row.last_heartbeat_at ? { at: row.last_heartbeat_at, uptime_s: 412_332, cpu_pct: 12.4, in_flight: 3, queue: 0, spool_depth: 0, paused: false } : null,
    org_id: row.withheld ? null : 'main',
    org_name: row.withheld ? null : 'main',
    handover: null,
    assignees: row === nodes[0] ? [{ user_id: 'u_2', email: 'ben@example.org', assigned_at: iso(Date.now() - 86_400_000 * 3), assigned_by: 'user:u_1', assigned_by_email: 'ana@example.org' }] : [],
    receipts: row === nodes[0] ? receipts.slice(-10).toReversed().map(({ receipt }) => receipt) : [],
    history: [
      { at: row.status_since, from: 'pending', to: row.status, reason: row.status_reason ?? 'probe answered', actor: row.withheld ? '' : 'control plane', detail: null },
      { at: iso(Date.now() - 86_400_000 * 20), from: 'pending', to: 'pending', reason: 'enrolled', actor: row.withheld ? '' : 'ana@example.org', detail: null },
    ],
    chain: { head_seq: receipts.length, gaps: [], forks: 0 },
    last_probe: row.withheld ? null : { at: iso(Date.now() - 240_000), outcome: 'ok', message: null, ttft_ms: 214 },
  }
}
