// Every URL of the console and of the API it calls is made here.

export type Search = Record<string, string | undefined>

/** Query text without empty values, in the order given. */
export function queryText(search: Search): string {
  const params = new URLSearchParams()
  for (const [key, value] of Object.entries(search)) if (value) params.set(key, value)
  // Commas and colons are legal in a query and lists stay readable: status=active,offline
  const text = params.toString().replaceAll('%2C', ',').replaceAll('%3A', ':')
  return text ? `?${text}` : ''
}

export const apiUrl = (path: string) => `/api/v1${path}`

export const path = {
  overview: () => '/',
  nodes: (search: Search = {}) => `/nodes${queryText(search)}`,
  node: (nodeId: string, search: Search = {}) => `/nodes/${encodeURIComponent(nodeId)}${queryText(search)}`,
  receipts: (search: Search = {}) => `/receipts${queryText(search)}`,
  // A request id is one per node alone, so the address of a receipt names the node, too.
  receipt: (requestId: string, nodeId?: string) => `/receipts/${encodeURIComponent(requestId)}${queryText({ node_id: nodeId })}`,
  audit: (search: Search = {}) => `/audit${queryText(search)}`,
  run: () => '/run',
  users: (search: Search = {}) => `/users${queryText(search)}`,
  user: (userId: string) => `/users/${encodeURIComponent(userId)}`,
  organisations: (search: Search = {}) => `/organisations${queryText(search)}`,
  assignments: (search: Search = {}) => `/assignments${queryText(search)}`,
  pools: (search: Search = {}) => `/pools${queryText(search)}`,
  pool: (poolId: string) => `/pools/${encodeURIComponent(poolId)}`,
  account: () => '/account',
  sessions: () => '/account/sessions',
  keys: (search: Search = {}) => `/account/keys${queryText(search)}`,
  signIn: (next?: string) => `/sign-in${queryText({ next })}`,
  register: () => '/register',
  setup: () => '/setup',
}

/** Only paths of this console: what an address says can not send people elsewhere. */
export const safeNext = (next: string | undefined) => (next && /^\/(?!\/|\\)/.test(next) ? next : path.overview())

/** The list that has the object of a page; the page itself where it is none of one object. */
export function listOf(pathname: string): string {
  const list = [path.nodes(), path.receipts(), path.users(), path.pools()].find((one) => pathname.startsWith(`${one}/`))
  return list ?? pathname
}

export const apiPath = {
  me: () => '/users/me',
  ownData: () => '/users/me/export',
  authState: () => '/auth/state',
  login: () => '/auth/login',
  logout: () => '/auth/logout',
  setup: () => '/auth/setup',
  redeem: () => '/auth/redeem',
  register: () => '/auth/register',
  codeSignIn: () => '/auth/second-factor',
  organisation: () => '/auth/organisation',
  users: (search: Search = {}) => `/users${queryText(search)}`,
  user: (userId: string) => `/users/${encodeURIComponent(userId)}`,
  userLink: (userId: string) => `/users/${encodeURIComponent(userId)}/sign-in-link`,
  userSecondFactorReset: (userId: string) => `/users/${encodeURIComponent(userId)}/reset-second-factor`,
  membership: (userId: string, orgId: string) => `/users/${encodeURIComponent(userId)}/memberships/${encodeURIComponent(orgId)}`,
  orgs: (search: Search = {}) => `/orgs${queryText(search)}`,
  org: (orgId: string) => `/orgs/${encodeURIComponent(orgId)}`,
  orgClose: (orgId: string) => `/orgs/${encodeURIComponent(orgId)}/close`,
  password: () => '/users/me/password',
  secondFactor: () => '/users/me/second-factor',
  secondFactorOffer: () => '/users/me/second-factor/offer',
  secondFactorRemove: () => '/users/me/second-factor/remove',
  recoveryCodes: () => '/users/me/second-factor/recovery-codes',
  walletRequest: () => '/auth/nonce',
  walletSignIn: () => '/auth/wallet',
  wallets: () => '/wallets',
  wallet: (kind: string, address: string) => `/wallets/${encodeURIComponent(kind)}/${encodeURIComponent(address)}`,
  issuerStart: (id: string) => `/auth/oidc/${encodeURIComponent(id)}/start`,
  identities: () => '/identities',
  identity: (id: string) => `/identities/${encodeURIComponent(id)}`,
  sessions: () => '/sessions',
  keys: (search: Search = {}) => `/api-keys${queryText(search)}`,
  key: (id: string) => `/api-keys/${encodeURIComponent(id)}`,
  session: (id: string) => `/sessions/${encodeURIComponent(id)}`,
  summary: () => '/summary',
  trends: () => '/summary/trends',
  regions: () => '/regions',
  nodes: (search: Search) => `/nodes${queryText(search)}`,
  node: (nodeId: string) => `/nodes/${encodeURIComponent(nodeId)}`,
  nodeActions: (nodeId: string) => `/nodes/${encodeURIComponent(nodeId)}/actions`,
  nodeAssign: (nodeId: string) => `/nodes/${encodeURIComponent(nodeId)}/assign`,
  assignments: (search: Search) => `/assignments${queryText(search)}`,
  pools: (search: Search = {}) => `/pools${queryText(search)}`,
  pool: (poolId: string) => `/pools/${encodeURIComponent(poolId)}`,
  poolNodes: (poolId: string) => `/pools/${encodeURIComponent(poolId)}/nodes`,
  poolMembers: (poolId: string) => `/pools/${encodeURIComponent(poolId)}/members`,
  receipts: (search: Search) => `/receipts${queryText(search)}`,
  receiptAggregate: (search: Search) => `/receipts/aggregate${queryText(search)}`,
  receipt: (requestId: string, nodeId?: string) => `/receipts/${encodeURIComponent(requestId)}${queryText({ node_id: nodeId })}`,
  receiptRaw: (requestId: string, nodeId: string) => `/receipts/${encodeURIComponent(requestId)}/raw${queryText({ node_id: nodeId })}`,
  audit: (search: Search) => `/audit${queryText(search)}`,
  auditCsv: (search: Search) => `/audit.csv${queryText(search)}`,
  tokens: (search: Search = {}) => `/enrolment-tokens${queryText(search)}`,
  token: (id: string) => `/enrolment-tokens/${encodeURIComponent(id)}`,
  flag: (name: string) => `/flags/${encodeURIComponent(name)}`,
  agentYaml: (search: Search) => `/nodes/agent.yaml${queryText(search)}`,
  downloads: () => '/downloads',
  live: () => '/live',
}

/** Address of the live socket beside this page. */
export function liveUrl(origin: Location): string {
  return `${origin.protocol === 'https:' ? 'wss:' : 'ws:'}//${origin.host}${apiUrl(apiPath.live())}`
}
