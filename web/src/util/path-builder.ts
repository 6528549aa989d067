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
  account: () => '/account',
  sessions: () => '/account/sessions',
  signIn: (next?: string) => `/sign-in${queryText({ next })}`,
  setup: () => '/setup',
}

export const apiPath = {
  me: () => '/users/me',
  authState: () => '/auth/state',
  login: () => '/auth/login',
  logout: () => '/auth/logout',
  setup: () => '/auth/setup',
  redeem: () => '/auth/redeem',
  password: () => '/users/me/password',
  walletRequest: () => '/auth/nonce',
  walletSignIn: () => '/auth/wallet',
  wallets: () => '/wallets',
  wallet: (kind: string, address: string) => `/wallets/${encodeURIComponent(kind)}/${encodeURIComponent(address)}`,
  sessions: () => '/sessions',
  session: (id: string) => `/sessions/${encodeURIComponent(id)}`,
  summary: () => '/summary',
  trends: () => '/summary/trends',
  regions: () => '/regions',
  nodes: (search: Search) => `/nodes${queryText(search)}`,
  node: (nodeId: string) => `/nodes/${encodeURIComponent(nodeId)}`,
  nodeActions: (nodeId: string) => `/nodes/${encodeURIComponent(nodeId)}/actions`,
  receipts: (search: Search) => `/receipts${queryText(search)}`,
  receiptAggregate: (search: Search) => `/receipts/aggregate${queryText(search)}`,
  receipt: (requestId: string, nodeId?: string) => `/receipts/${encodeURIComponent(requestId)}${queryText({ node_id: nodeId })}`,
  receiptRaw: (requestId: string, nodeId: string) => `/receipts/${encodeURIComponent(requestId)}/raw${queryText({ node_id: nodeId })}`,
  audit: (search: Search) => `/audit${queryText(search)}`,
  auditCsv: (search: Search) => `/audit.csv${queryText(search)}`,
  tokens: () => '/enrolment-tokens',
  agentYaml: (search: Search) => `/nodes/agent.yaml${queryText(search)}`,
  downloads: () => '/downloads',
  live: () => '/live',
}

/** Address of the live socket beside this page. */
export function liveUrl(origin: Location): string {
  return `${origin.protocol === 'https:' ? 'wss:' : 'ws:'}//${origin.host}${apiUrl(apiPath.live())}`
}
