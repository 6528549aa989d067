// From a cold page to a known session, and the live socket that follows it.
import { ApiError } from '~/api/errors'
import { call, readMe, refreshSession } from '~/api/client'
import { LiveHub } from '~/api/live'
import { query, queryClient } from '~/api/queries'
import type { Me } from '~/api/types'
import { currentMe, rightsOf, session, signedIn, signedOut, view } from '~/stores/session'
import { forgetSession, hadSession, hintSession } from '~/stores/session-hint'
import { forgetStarted } from '~/stores/started'
import { showToast } from '~/stores/toasts'
import { apiPath } from '~/util/path-builder'
import { rolesText } from '~/util/people'

const ASK_AGAIN_MS = 3000
const RENEW_AT_MOST_MS = 60_000
/** Before the ten minutes of an access token are over, so that no request of an open page is refused. */
const RENEW_EVERY_MS = 8 * 60_000
let renewedAt = 0

/** Before an access token is over, and where a socket was refused, which may be for want of one. */
async function renewSession(): Promise<void> {
  if (session.get().kind !== 'signed-in' || Date.now() - renewedAt < RENEW_AT_MOST_MS) return
  renewedAt = Date.now()
  await refreshSession()
}

let askedAt = 0
let askAgain: ReturnType<typeof setTimeout> | undefined

/**
 * Asks what this sign-in is now: the server says that it has ended, acts for another organisation or may do something
 * else, or may have said so to nobody. Until there is an answer it is asked again: a page must not go on showing what is
 * not for its person any more. The token is not exchanged for that, since all pages of the browser ask at the same moment.
 */
async function followSession(): Promise<void> {
  if (session.get().kind !== 'signed-in') return
  askedAt = Date.now()
  clearTimeout(askAgain)
  try {
    await readMe()
  } catch (error) {
    const isRefused = error instanceof ApiError && error.status === 401
    if (isRefused && (await refreshSession())) return
    if (session.get().kind === 'signed-in') askAgain = setTimeout(() => void followSession(), ASK_AGAIN_MS)
  }
}

export const hub = new LiveHub(
  queryClient,
  (isEnded) => (isEnded ? followSession() : renewSession()),
  () => void followSession(),
)

function rememberSession(kind: string): void {
  if (kind === 'signed-in') hintSession()
  else if (kind === 'anonymous') forgetSession()
}

/** Finds out who looks at the page. A browser that never signed in here asks nothing that would be refused. */
async function readSession(): Promise<void> {
  await queryClient.prefetchQuery(query.authState())
  if (!hadSession()) return signedOut()
  try {
    signedIn(await call<Me>(apiPath.me(), { isAuthRoute: true }))
  } catch (error) {
    const isRefused = error instanceof ApiError && error.status === 401
    // A server that does not answer says nothing about the session.
    if (!isRefused) setTimeout(() => void readSession(), ASK_AGAIN_MS)
    else if (!(await refreshSession()) && session.get().kind === 'unknown') signedOut()
  }
}

/** Nothing that was read for one person, organisation or role is left for the next. Who the server is stays known. */
function forgetAll(): void {
  queryClient.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'auth-state' })
  forgetStarted()
  view.set((n) => n + 1)
}

/** What changed for somebody whose page it is still. That there is no organisation any more stands over the page. */
function tellChange(before: Me, now: Me): void {
  const name = now.memberships.find((one) => one.org_id === now.org_id)?.org_name
  if (before.user_id !== now.user_id || name === undefined) return
  showToast(before.org_id === now.org_id ? `Your roles changed: ${rolesText(now.roles)}` : `You act for ${name} now`)
}

/** Drops what was read where the rights behind it are others. Runs before anything is drawn: it listens to the session first. */
function keepToRights(): void {
  let shownTo: Me | null = null
  session.subscribe(() => {
    const me = currentMe(session.get())
    const before = shownTo
    shownTo = me
    if (before === null || rightsOf(before) === rightsOf(me)) return
    forgetAll()
    if (me) tellChange(before, me)
  })
}

export function boot(): void {
  let following: string | null = null
  keepToRights()
  session.subscribe(() => {
    const now = session.get()
    rememberSession(now.kind)
    const who = now.kind === 'signed-in' ? rightsOf(now.me) : now.kind
    if (now.kind === 'expired') {
      // The socket goes on as a stranger's, if at all. The same person who comes back needs one of their own.
      following = null
      return
    }
    if (who === following) return
    following = who
    const mayListen = now.kind === 'signed-in' || queryClient.getQueryData(query.authState().queryKey)?.anonymous_overview === true
    if (mayListen) hub.restart()
    else hub.stop()
  })
  setInterval(() => {
    if (!document.hidden) void renewSession()
  }, RENEW_EVERY_MS)
  // No socket tells of an organisation that one was added to: who comes back to look sees it.
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && Date.now() - askedAt >= RENEW_AT_MOST_MS) void followSession()
  })
  void readSession()
}
