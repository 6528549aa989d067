// From a cold page to a known session, and the live socket that follows it.
import { ApiError } from '~/api/errors'
import { call, refreshSession } from '~/api/client'
import { LiveHub } from '~/api/live'
import { query, queryClient } from '~/api/queries'
import type { Me } from '~/api/types'
import { session, signedIn, signedOut } from '~/stores/session'
import { apiPath } from '~/util/path-builder'

const ASK_AGAIN_MS = 3000
const RENEW_AT_MOST_MS = 60_000
/** Before the ten minutes of an access token are over, so that no request of an open page is refused. */
const RENEW_EVERY_MS = 8 * 60_000
let renewedAt = 0

/** One that the server says has ended is tried at once: who was signed out elsewhere is told so, and not a minute later. */
async function renewSession(isEnded = false): Promise<void> {
  const isDue = isEnded || Date.now() - renewedAt >= RENEW_AT_MOST_MS
  if (session.get().kind !== 'signed-in' || !isDue) return
  renewedAt = Date.now()
  await refreshSession()
}

export const hub = new LiveHub(queryClient, renewSession)

const HINT = 'dgon.session'

function hadSession(): boolean {
  try {
    return localStorage.getItem(HINT) === 'yes'
  } catch {
    return true
  }
}

function rememberSession(kind: string): void {
  try {
    if (kind === 'signed-in') localStorage.setItem(HINT, 'yes')
    else if (kind === 'anonymous') localStorage.removeItem(HINT)
  } catch {
    // Without storage a renewed page simply asks the server.
  }
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
    else if (!(await refreshSession())) signedOut()
  }
}

export function boot(): void {
  let following: string | null = null
  session.subscribe(() => {
    const now = session.get()
    rememberSession(now.kind)
    const who = now.kind === 'signed-in' ? now.me.user_id : now.kind
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
  void readSession()
}
