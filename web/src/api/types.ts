// The shapes of the HTTP API, by hand until the generator reads them from control-plane/openapi.json.

export type Role = 'admin' | 'operator' | 'consumer' | 'viewer'
export type NodeStatus = 'pending' | 'active' | 'quarantine' | 'offline'
export type ReceiptStatus = 'ok' | 'error' | 'cancelled'

export interface Me {
  user_id: string
  email: string
  roles: string[]
  org_id: string | null
  csrf_token: string
}

export interface AuthState {
  setup_needed: boolean
  anonymous_overview: boolean
  version: string
}

export interface RegionLatency {
  region: string
  p95_ms: number | null
  requests: number
}

export interface Summary {
  active_nodes: number
  nodes: Record<NodeStatus, number>
  p95_ms: number | null
  p95_by_region: RegionLatency[]
  models_cached: number
  requests_24h: number
  tokens_24h: { input: number; output: number }
  error_rate: number | null
  as_of: string
}

export type Series = (number | null)[]

export interface Trends {
  start: string
  step_s: number
  series: { requests: Series; tokens: Series; p50_ms: Series; p95_ms: Series; errors: Series }
}

export interface Page<T> {
  items: T[]
  next_cursor: string | null
  total?: number | null
}

export interface NodeRuntime {
  kind: string
  version: string | null
  ready: boolean
}

export interface NodeRow {
  node_id: string
  region: string
  status: NodeStatus
  status_reason: string | null
  status_since: string
  runtimes: NodeRuntime[]
  models: string[]
  gpus: string[]
  p95_ms: number | null
  requests_24h: number
  last_heartbeat_at: string | null
  late: boolean
  connected: boolean
  agent_version: string | null
}

export interface GpuLoad {
  util_pct: number | null
  vram_used_mib: number | null
  temp_c: number | null
  power_w: number | null
}

export interface GpuDetail {
  index: number
  name: string
  uuid: string | null
  vram_mib: number | null
  driver: string | null
  cuda: string | null
  backend: string | null
  load: GpuLoad | null
}

export interface ModelDetail {
  runtime: string
  id: string
  digest: string | null
  size_bytes: number | null
  loaded: boolean | null
}

export interface HeartbeatDetail {
  at: string
  uptime_s: number | null
  cpu_pct: number | null
  in_flight: number | null
  queue: number | null
  spool_depth: number | null
  paused: boolean | null
}

export interface HistoryEntry {
  at: string
  from: string | null
  to: string
  reason: string | null
  actor: string | null
  detail: string | null
}

export interface NodeDetail extends NodeRow {
  public_key: string
  key_id: string
  enrolled_at: string
  os: string | null
  arch: string | null
  host: { os_version: string | null; cpu: string | null; cores: number | null; memory_mib: number | null }
  gpu_details: GpuDetail[]
  models_detail: ModelDetail[]
  heartbeat: HeartbeatDetail | null
  receipts: ReceiptRow[]
  history: HistoryEntry[]
  chain: { head_seq: number; gaps: { from: number; to: number }[]; forks: number }
  last_probe: { at: string; outcome: string; message: string | null; ttft_ms: number | null } | null
}

export type NodeAction = 'quarantine' | 'clear' | 'retire' | 'refresh'

export interface ReceiptRow {
  request_id: string
  node_id: string
  region: string | null
  model_id: string
  runtime: string | null
  source: string | null
  status: ReceiptStatus | null
  ts_start: string
  ts_end: string
  tokens_input: number
  tokens_output: number
  tokens_cached: number | null
  ttft_ms: number | null
  latency_ms: number | null
  p95_ms: number | null
  cache_hit: boolean | null
  hedged: boolean | null
  seq: number | null
  received_at: string
  version: string
}

export interface ReceiptAggregate {
  count: number
  tokens_input: number
  tokens_output: number
  cache_hit_share: number | null
  failures: number
  p50_ms: number | null
  p95_ms: number | null
  indexed_to: number | string | null
}

export interface ReceiptDetail {
  receipt: ReceiptRow
  raw: string
  entry_sha256: string
  public_key: string
  key_id: string
  key_valid_from: string
  verification: { verdict: string; verified_at: string }
  chain: { seq: number | null; prev_request_id: string | null; next_request_id: string | null }
}

export interface EnrolmentToken {
  id: string
  label: string | null
  region: string | null
  uses_left: number
  expires_at: string
  created_at: string
  used_by: string[]
}

export interface EnrolmentTokenCreated {
  id: string
  token: string
  expires_at: string
  uses_left: number
}

export interface ErrorBody {
  error: { type: string; message: string; request_id: string; details: Record<string, unknown> }
}
