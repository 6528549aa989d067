import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router'
import { query, queryClient } from '~/api/queries'
import { Shell } from '~/components/Shell'
import { NotFoundPage } from '~/pages/NotFoundPage'
import { PageCrash } from '~/pages/PageCrash'
import { currentMe, hasRole, seesReceipts, session } from '~/stores/session'
import { chunk } from '~/util/chunk'
import { assignmentFilters, auditFilters, nodeFilters, orgFilters, poolFilters, receiptFilters, userFilters } from '~/util/filters'
import { type Search, queryText } from '~/util/path-builder'

const mayRead = () => session.get().kind === 'signed-in'
const mayAdminister = () => mayRead() && hasRole(currentMe(session.get()), 'admin')
const mayReadPools = () => mayRead() && currentMe(session.get())?.private_pools === true
const mayReadReceipts = () => mayRead() && seesReceipts(currentMe(session.get()))

const root = createRootRoute({ component: Shell, notFoundComponent: NotFoundPage, errorComponent: PageCrash })

const overview = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/OverviewPage')), 'OverviewPage'),
  loader: () => {
    if (!mayRead()) return
    void queryClient.prefetchQuery(query.summary())
    void queryClient.prefetchQuery(query.trends())
  },
})

const nodes = createRoute({
  getParentRoute: () => root,
  path: '/nodes',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/NodesPage')), 'NodesPage'),
  loaderDeps: ({ search }) => search as Search,
  loader: ({ deps }) => {
    if (mayRead()) void queryClient.prefetchQuery(query.nodes(nodeFilters(deps).request))
  },
})

const node = createRoute({
  getParentRoute: () => nodes,
  path: '$nodeId',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/NodePage')), 'NodePage'),
  loader: ({ params }) => {
    if (mayRead()) void queryClient.prefetchQuery(query.node(params.nodeId))
  },
})

const receipts = createRoute({
  getParentRoute: () => root,
  path: '/receipts',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/ReceiptsPage')), 'ReceiptsPage'),
  loaderDeps: ({ search }) => search as Search,
  loader: ({ deps }) => {
    if (mayReadReceipts()) void queryClient.prefetchQuery(query.receipts(receiptFilters(deps).request))
  },
})

const receipt = createRoute({
  getParentRoute: () => root,
  path: '/receipts/$requestId',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/ReceiptPage')), 'ReceiptPage'),
  loaderDeps: ({ search }) => search as Search,
  loader: ({ params, deps }) => {
    if (mayRead()) void queryClient.prefetchQuery(query.receipt(params.requestId, deps.node))
  },
})

const audit = createRoute({
  getParentRoute: () => root,
  path: '/audit',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/AuditPage')), 'AuditPage'),
  loaderDeps: ({ search }) => search as Search,
  loader: ({ deps }) => {
    if (mayAdminister()) void queryClient.prefetchQuery(query.audit(auditFilters(deps).request))
  },
})

const users = createRoute({
  getParentRoute: () => root,
  path: '/users',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/UsersPage')), 'UsersPage'),
  loaderDeps: ({ search }) => search as Search,
  loader: ({ deps }) => {
    if (mayAdminister()) void queryClient.prefetchQuery(query.users(userFilters(deps).request))
  },
})

const user = createRoute({
  getParentRoute: () => root,
  path: '/users/$userId',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/UserPage')), 'UserPage'),
  loader: ({ params }) => {
    if (mayAdminister()) void queryClient.prefetchQuery(query.user(params.userId))
  },
})

const organisations = createRoute({
  getParentRoute: () => root,
  path: '/organisations',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/OrganisationsPage')), 'OrganisationsPage'),
  loaderDeps: ({ search }) => search as Search,
  loader: ({ deps }) => {
    if (mayAdminister()) void queryClient.prefetchQuery(query.orgs(orgFilters(deps).request))
  },
})

const assignments = createRoute({
  getParentRoute: () => root,
  path: '/assignments',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/AssignmentsPage')), 'AssignmentsPage'),
  loaderDeps: ({ search }) => search as Search,
  loader: ({ deps }) => {
    if (mayAdminister()) void queryClient.prefetchQuery(query.assignments(assignmentFilters(deps).request))
  },
})

const pools = createRoute({
  getParentRoute: () => root,
  path: '/pools',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/PoolsPage')), 'PoolsPage'),
  loaderDeps: ({ search }) => search as Search,
  loader: ({ deps }) => {
    if (mayReadPools()) void queryClient.prefetchQuery(query.pools(poolFilters(deps).request))
  },
})

const pool = createRoute({
  getParentRoute: () => root,
  path: '/pools/$poolId',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/PoolPage')), 'PoolPage'),
  loader: ({ params }) => {
    if (mayReadPools()) void queryClient.prefetchQuery(query.pool(params.poolId))
  },
})

const account = createRoute({
  getParentRoute: () => root,
  path: '/account',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/AccountPage')), 'AccountPage'),
  loader: () => {
    if (!mayRead()) return
    void queryClient.prefetchQuery(query.wallets())
    void queryClient.prefetchQuery(query.identities())
  },
})

const sessions = createRoute({
  getParentRoute: () => root,
  path: '/account/sessions',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/SessionsPage')), 'SessionsPage'),
  loader: () => {
    if (mayRead()) void queryClient.prefetchQuery(query.sessions())
  },
})

const keys = createRoute({
  getParentRoute: () => root,
  path: '/account/keys',
  component: lazyRouteComponent(() => chunk(() => import('~/pages/KeysPage')), 'KeysPage'),
  loaderDeps: ({ search }) => search as Search,
  loader: ({ deps }) => {
    if (mayRead()) void queryClient.prefetchQuery(query.keys({ cursor: deps.cursor }))
  },
})

const run = createRoute({ getParentRoute: () => root, path: '/run', component: lazyRouteComponent(() => chunk(() => import('~/pages/RunPage')), 'RunPage') })
const signIn = createRoute({ getParentRoute: () => root, path: '/sign-in', component: lazyRouteComponent(() => chunk(() => import('~/pages/SignInPage')), 'SignInPage') })
const register = createRoute({ getParentRoute: () => root, path: '/register', component: lazyRouteComponent(() => chunk(() => import('~/pages/RegisterPage')), 'RegisterPage') })
const setup = createRoute({ getParentRoute: () => root, path: '/setup', component: lazyRouteComponent(() => chunk(() => import('~/pages/SetupPage')), 'SetupPage') })

export const router = createRouter({
  routeTree: root.addChildren([overview, nodes.addChildren([node]), receipts, receipt, audit, users, user, organisations, assignments, pools, pool, account, sessions, keys, run, signIn, register, setup]),
  // Values of the query are text: 123 stays "123", lists stay a,b.
  parseSearch: (text): Search => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => queryText(search as Search),
  scrollRestoration: true,
})
