import { QueryCache, QueryClient, keepPreviousData, queryOptions } from '@tanstack/react-query'
import { call, callBytes, callText } from '~/api/client'
import { ApiError, isAnswer } from '~/api/errors'
import { dropRefused } from '~/api/refused'
import { onNode, onNodes, onReceipts, onSummary, readLive } from '~/api/told'
import type {
  ApiKey,
  AssignedNode,
  AuditPage,
  AuthState,
  DownloadList,
  EnrolmentToken,
  Identities,
  Me,
  NodeDetail,
  NodeRow,
  Organisation,
  Page,
  Pool,
  PoolDetail,
  ReceiptAggregate,
  ReceiptDetail,
  ReceiptRow,
  Regions,
  Sessions,
  Summary,
  Trends,
  User,
  Wallets,
} from '~/api/types'
import { serverNow } from '~/stores/live'
import { type Search, apiPath } from '~/util/path-builder'

const RETRIES = 2
const RETRY_AFTER_MS = 700
const RETRY_WAIT_MAX_S = 2
const TRENDS_EVERY_MS = 60_000
const SESSIONS_EVERY_MS = 60_000
// Who tries a new key looks here whether it came.
const KEYS_EVERY_MS = 4000
// Others make tokens, too, and machines use them up: no frame of the socket tells of it.
const TOKENS_EVERY_MS = 10_000
// No token works for longer: what is older needs no look.
const TOKEN_LIFE_MS = 86_400_000
const TOKEN_PAGES_MAX = 5
const ROWS_AT_ONCE = '200'
const ORG_PAGES_MAX = 10
const MEMBER_PAGES_MAX = 10
const RECEIPT_NEVER_CHANGES = Infinity

/** Only what may pass by itself is tried again; a 4xx is an answer. */
function isWorthRetrying(failures: number, error: unknown): boolean {
  if (isAnswer(error)) return false
  // Who is told to wait for long is shown why, instead of a page that loads for ever.
  if (error instanceof ApiError && (error.retryAfterS ?? 0) > RETRY_WAIT_MAX_S) return false
  return failures < RETRIES
}

export const queryClient: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: (error, asked) => dropRefused(queryClient, error, asked) }),
  defaultOptions: {
    queries: {
      retry: isWorthRetrying,
      retryDelay: RETRY_AFTER_MS,
      staleTime: 10_000,
      refetchOnWindowFocus: true,
      // A control plane on this machine answers with no internet at all.
      networkMode: 'always',
    },
    mutations: { networkMode: 'always' },
  },
})

/** Whether it asks for the newest receipts of all, on which each new one goes. */
const isNewest = (search: Search) => Object.keys(search).every((key) => key === 'limit')

export function readReceipts(search: Search, signal?: AbortSignal): Promise<Page<ReceiptRow>> {
  const ask = () => call<Page<ReceiptRow>>(apiPath.receipts(search), { ...(signal && { signal }) })
  return isNewest(search) ? readLive(ask, onReceipts) : ask()
}

/** All organisations, for whoever chooses one: a list that ends at its first page would lack theirs. */
async function readAllOrgs(signal: AbortSignal): Promise<Organisation[]> {
  const all: Organisation[] = []
  let cursor: string | undefined
  for (let page = 0; page < ORG_PAGES_MAX; page += 1) {
    // Each page begins where the one before it ends.
    // oxlint-disable-next-line no-await-in-loop
    const { items, next_cursor: next } = await call<Page<Organisation>>(apiPath.orgs({ limit: ROWS_AT_ONCE, cursor }), { signal })
    all.push(...items)
    if (!next) break
    cursor = next
  }
  return all
}

/** Everybody in an organisation, for whoever chooses one of them. */
async function readMembers(orgId: string, signal: AbortSignal): Promise<User[]> {
  const all: User[] = []
  let cursor: string | undefined
  for (let page = 0; page < MEMBER_PAGES_MAX; page += 1) {
    // Each page begins where the one before it ends.
    // oxlint-disable-next-line no-await-in-loop
    const { items, next_cursor: next } = await call<Page<User>>(apiPath.users({ org_id: orgId, limit: ROWS_AT_ONCE, cursor }), { signal })
    all.push(...items)
    if (!next) break
    cursor = next
  }
  return all
}

export interface RecentTokens {
  items: EnrolmentToken[]
  /** False where there may be older ones that still work. */
  isWhole: boolean
}

/** Every enrolment token that may still work, newest first, among others. */
async function readRecentTokens(signal: AbortSignal): Promise<RecentTokens> {
  const all: EnrolmentToken[] = []
  let cursor: string | undefined
  for (let page = 0; page < TOKEN_PAGES_MAX; page += 1) {
    // Each page begins where the one before it ends.
    // oxlint-disable-next-line no-await-in-loop
    const { items, next_cursor: next } = await call<Page<EnrolmentToken>>(apiPath.tokens({ limit: ROWS_AT_ONCE, cursor }), { signal })
    all.push(...items)
    const oldest = items.at(-1)
    if (!next || (oldest && Date.parse(oldest.created_at) + TOKEN_LIFE_MS < serverNow())) return { items: all, isWhole: true }
    cursor = next
  }
  return { items: all, isWhole: false }
}

function listedUser(userId: string): User | undefined {
  const pages = queryClient.getQueriesData<Page<User>>({ queryKey: ['users'] })
  return pages.flatMap(([, page]) => page?.items ?? []).find((user) => user.user_id === userId)
}

export const query = {
  me: () => queryOptions({ queryKey: ['me'], queryFn: () => call<Me>(apiPath.me(), { isAuthRoute: true }), retry: false }),
  authState: () =>
    queryOptions({ queryKey: ['auth-state'], queryFn: ({ signal }) => call<AuthState>(apiPath.authState(), { signal, isAuthRoute: true }) }),
  summary: () => queryOptions({ queryKey: ['summary'], queryFn: ({ signal }) => readLive(() => call<Summary>(apiPath.summary(), { signal }), onSummary) }),
  trends: () =>
    queryOptions({
      queryKey: ['trends'],
      queryFn: ({ signal }) => call<Trends>(apiPath.trends(), { signal }),
      refetchInterval: TRENDS_EVERY_MS,
    }),
  nodes: (search: Search) =>
    queryOptions({
      queryKey: ['nodes', search],
      queryFn: ({ signal }) => readLive(() => call<Page<NodeRow>>(apiPath.nodes(search), { signal }), onNodes),
      placeholderData: keepPreviousData,
    }),
  node: (nodeId: string) =>
    queryOptions({
      queryKey: ['node', nodeId],
      queryFn: ({ signal }) => readLive(() => call<NodeDetail>(apiPath.node(nodeId), { signal }), onNode),
    }),
  receipts: (search: Search) =>
    queryOptions({
      queryKey: ['receipts', search],
      queryFn: ({ signal }) => readReceipts(search, signal),
      placeholderData: keepPreviousData,
    }),
  receiptAggregate: (search: Search) =>
    queryOptions({
      queryKey: ['receipt-aggregate', search],
      queryFn: ({ signal }) => call<ReceiptAggregate>(apiPath.receiptAggregate(search), { signal }),
      placeholderData: keepPreviousData,
    }),
  receipt: (requestId: string, nodeId?: string) =>
    queryOptions({ queryKey: ['receipt', requestId, nodeId], queryFn: ({ signal }) => call<ReceiptDetail>(apiPath.receipt(requestId, nodeId), { signal }) }),
  receiptRaw: (requestId: string, nodeId: string) =>
    queryOptions({
      queryKey: ['receipt-raw', requestId, nodeId],
      queryFn: ({ signal }) => callBytes(apiPath.receiptRaw(requestId, nodeId), signal),
      staleTime: RECEIPT_NEVER_CHANGES,
    }),
  audit: (search: Search) =>
    queryOptions({
      queryKey: ['audit', search],
      queryFn: ({ signal }) => call<AuditPage>(apiPath.audit(search), { signal }),
      placeholderData: keepPreviousData,
    }),
  users: (search: Search) =>
    queryOptions({
      queryKey: ['users', search],
      queryFn: ({ signal }) => call<Page<User>>(apiPath.users(search), { signal }),
      placeholderData: keepPreviousData,
    }),
  membersOf: (orgId: string) => queryOptions({ queryKey: ['users', 'of', orgId], queryFn: ({ signal }) => readMembers(orgId, signal) }),
  assignments: (search: Search) =>
    queryOptions({
      queryKey: ['assignments', search],
      queryFn: ({ signal }) => call<Page<AssignedNode>>(apiPath.assignments(search), { signal }),
      placeholderData: keepPreviousData,
    }),
  pools: (search: Search) =>
    queryOptions({
      queryKey: ['pools', search],
      queryFn: ({ signal }) => call<Page<Pool>>(apiPath.pools(search), { signal }),
      placeholderData: keepPreviousData,
    }),
  // An organisation has at most 64 that are open.
  poolsOf: (orgId: string) => queryOptions({ queryKey: ['pools', 'of', orgId], queryFn: ({ signal }) => call<Page<Pool>>(apiPath.pools({ org: orgId, limit: ROWS_AT_ONCE }), { signal }) }),
  pool: (poolId: string) => queryOptions({ queryKey: ['pool', poolId], queryFn: ({ signal }) => call<PoolDetail>(apiPath.pool(poolId), { signal }) }),
  user: (userId: string) =>
    queryOptions<User>({
      queryKey: ['user', userId],
      queryFn: ({ signal }) => call<User>(apiPath.user(userId), { signal }),
      // What the list said of them stands there until the answer comes.
      placeholderData: () => listedUser(userId),
    }),
  orgs: (search: Search) =>
    queryOptions({
      queryKey: ['orgs', search],
      queryFn: ({ signal }) => call<Page<Organisation>>(apiPath.orgs(search), { signal }),
      placeholderData: keepPreviousData,
    }),
  allOrgs: () => queryOptions({ queryKey: ['orgs', 'all'], queryFn: ({ signal }) => readAllOrgs(signal) }),
  // No frame of the socket tells of a sign-in elsewhere: it is seen within a minute, and at once where somebody comes back to look.
  sessions: () =>
    queryOptions({
      queryKey: ['sessions'],
      queryFn: ({ signal }) => call<Sessions>(apiPath.sessions(), { signal }),
      refetchInterval: SESSIONS_EVERY_MS,
      staleTime: 0,
    }),
  wallets: () => queryOptions({ queryKey: ['wallets'], queryFn: ({ signal }) => call<Wallets>(apiPath.wallets(), { signal }) }),
  identities: () => queryOptions({ queryKey: ['identities'], queryFn: ({ signal }) => call<Identities>(apiPath.identities(), { signal }) }),
  keys: (search: Search) =>
    queryOptions({
      queryKey: ['api-keys', search],
      queryFn: ({ signal }) => call<Page<ApiKey>>(apiPath.keys(search), { signal }),
      placeholderData: keepPreviousData,
      refetchInterval: KEYS_EVERY_MS,
    }),
  tokens: () =>
    queryOptions({
      queryKey: ['tokens'],
      queryFn: ({ signal }) => call<Page<EnrolmentToken> | EnrolmentToken[]>(apiPath.tokens(), { signal }).then((page) => (Array.isArray(page) ? page : page.items)),
    }),
  recentTokens: () =>
    queryOptions({
      queryKey: ['tokens', 'recent'],
      queryFn: ({ signal }) => readRecentTokens(signal),
      refetchInterval: TOKENS_EVERY_MS,
    }),
  regions: () => queryOptions({ queryKey: ['regions'], queryFn: ({ signal }) => call<Regions>(apiPath.regions(), { signal }) }),
  downloads: () => queryOptions({ queryKey: ['downloads'], queryFn: ({ signal }) => call<DownloadList>(apiPath.downloads(), { signal }) }),
  agentYaml: (search: Search) =>
    queryOptions({ queryKey: ['agent-yaml', search], queryFn: ({ signal }) => callText(apiPath.agentYaml(search), signal) }),
}
