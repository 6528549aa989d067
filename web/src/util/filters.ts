// What the address may say about a list: known values pass, everything else is named and ignored.
import type { Search } from '~/util/path-builder'

export interface Filters {
  /** What the API is asked. */
  request: Search
  /** The filters alone: neither order nor page. */
  active: Search
  /** `name=value` pairs that mean nothing here. */
  ignored: string[]
}

type Check = (value: string) => boolean

const oneOf =
  (...values: string[]): Check =>
  (value) =>
    values.includes(value)
const someOf =
  (...values: string[]): Check =>
  (value) =>
    value.split(',').every((part) => values.includes(part))
/** The server's. */
const USER_SEARCH_MAX = 100
const anyText: Check = (value) => value.length <= 256
/** A day, or a moment with its zone. */
const MOMENT = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))?$/
const isTime: Check = (value) => MOMENT.test(value) && !Number.isNaN(Date.parse(value))

export const NODE_STATUSES = ['pending', 'active', 'quarantine', 'offline'] as const
export const RUNTIMES = ['ollama', 'vllm', 'tgi', 'tensorrt-llm', 'llama.cpp'] as const
export const NODE_SORTS = ['id', 'status', 'region', 'p95', 'last_heartbeat'] as const
export const RECEIPT_STATUSES = ['ok', 'error', 'cancelled'] as const
export const SOURCES = ['local', 'gateway', 'probe', 'job'] as const

export const NODE_FILTERS: Record<string, Check> = {
  q: anyText,
  status: someOf(...NODE_STATUSES),
  region: anyText,
  runtime: oneOf(...RUNTIMES, 'openai'),
  model: anyText,
  owner: oneOf('self'),
  assignee: anyText,
  pool: anyText,
}

export const RECEIPT_FILTERS: Record<string, Check> = {
  q: anyText,
  request_id: anyText,
  node_id: anyText,
  model_id: anyText,
  region: anyText,
  status: oneOf(...RECEIPT_STATUSES),
  source: oneOf(...SOURCES),
  cache_hit: oneOf('true', 'false'),
  hedged: oneOf('true', 'false'),
  from: isTime,
  to: isTime,
}

export const AUDIT_FILTERS: Record<string, Check> = {
  actor: anyText,
  action: anyText,
  object: anyText,
  request_id: anyText,
  from: isTime,
  to: isTime,
}

export const USER_FILTERS: Record<string, Check> = {
  q: (value) => value.length <= USER_SEARCH_MAX,
  org_id: anyText,
}

export const ASSIGNMENT_FILTERS: Record<string, Check> = {
  q: anyText,
  assignee: anyText,
}

export const POOL_FILTERS: Record<string, Check> = {
  q: anyText,
  org: anyText,
  closed: oneOf('true', 'false'),
}

/** Keys that belong to the page, not to the list's filter. */
const PAGE_KEYS = new Set(['cursor', 'sort', 'tab'])

function read(search: Search, known: Record<string, Check>, limit: number, checkSort: Check): Filters {
  const active: Search = {}
  const ignored: string[] = []
  for (const [key, value] of Object.entries(search)) {
    if (!value || PAGE_KEYS.has(key)) continue
    if (known[key]?.(value)) active[key] = value
    else ignored.push(`${key}=${value}`)
  }
  const request: Search = { ...active, limit: String(limit) }
  if (search.cursor) request.cursor = search.cursor
  if (search.sort && checkSort(search.sort)) request.sort = search.sort
  else if (search.sort) ignored.push(`sort=${search.sort}`)
  return { request, active, ignored }
}

const NODES_PER_PAGE = 25
export const RECEIPTS_PER_PAGE = 50
const AUDIT_ROWS_PER_PAGE = 50
const USERS_PER_PAGE = 50
const ORGS_PER_PAGE = 50
const ASSIGNMENTS_PER_PAGE = 50
const POOLS_PER_PAGE = 50

const isNodeSort: Check = (value) => (NODE_SORTS as readonly string[]).includes(value.replace(/^-/, ''))

export const nodeFilters = (search: Search) => read(search, NODE_FILTERS, NODES_PER_PAGE, isNodeSort)
export const auditFilters = (search: Search) => read(search, AUDIT_FILTERS, AUDIT_ROWS_PER_PAGE, () => false)
export const userFilters = (search: Search) => read(search, USER_FILTERS, USERS_PER_PAGE, () => false)
export const orgFilters = (search: Search) => read(search, {}, ORGS_PER_PAGE, () => false)
export const assignmentFilters = (search: Search) => read(search, ASSIGNMENT_FILTERS, ASSIGNMENTS_PER_PAGE, () => false)
export const poolFilters = (search: Search) => read(search, POOL_FILTERS, POOLS_PER_PAGE, () => false)
export const receiptFilters = (search: Search) => read(search, RECEIPT_FILTERS, RECEIPTS_PER_PAGE, () => false)

/**
 * Whether the figures of the network count what a list of nodes with these filters would have, one for each status: its figures
 * are of all nodes, also of private ones, and only admins list those.
 */
export const areCounted = (active: Search, isAdmin: boolean): boolean => isAdmin && Object.keys(active).every((key) => key === 'status')

const FILTER_WORDS: Record<string, string> = {
  q: 'Search',
  status: 'Status',
  region: 'Region',
  runtime: 'Runtime',
  model: 'Model',
  model_id: 'Model',
  node_id: 'Node',
  request_id: 'Request',
  owner: 'Owner',
  assignee: 'Taken care of by',
  pool: 'Private pool',
  org: 'Organisation',
  closed: 'Closed',
  actor: 'Actor',
  action: 'Action',
  object: 'Object',
  org_id: 'Organisation',
  source: 'Source',
  cache_hit: 'Cache hit',
  hedged: 'Hedged',
  from: 'From',
  to: 'To',
}

/** `Status quarantine`, for chips and for the sentence of an empty list. */
export function describeFilter(key: string, value: string): string {
  const shown = value === 'true' ? 'yes' : value === 'false' ? 'no' : key === 'owner' && value === 'self' ? 'your organisation' : value.replaceAll(',', ' or ')
  return `${FILTER_WORDS[key] ?? key}: ${shown}`
}
