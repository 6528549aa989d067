import { call } from '~/api/client'
import { ApiError } from '~/api/errors'
import { query, queryClient } from '~/api/queries'
import type { Assignees, EnrolmentTokenCreated, Me, NodeAction, NodeActionRequest, NodeRow, OpenSession, SessionsEnded } from '~/api/types'
import { patchNode } from '~/api/live-patches'
import { isChanging, signedIn, signedOut } from '~/stores/session'
import { apiPath } from '~/util/path-builder'

export async function logout(): Promise<void> {
  await call<void>(apiPath.logout(), { method: 'POST', isAuthRoute: true, isOfPerson: true })
  signedOut()
}

/**
 * Lets this sign-in act for another of one's organisations. No page is shown meanwhile: an answer of one organisation must
 * not stand on the page of the other. `goOn` leads to the page that is shown then.
 */
export async function actFor(orgId: string, goOn: () => Promise<unknown>): Promise<void> {
  isChanging.set(true)
  try {
    signedIn(await call<Me>(apiPath.organisation(), { method: 'POST', body: { org_id: orgId } }))
    await goOn()
  } finally {
    isChanging.set(false)
  }
}

/** Leaves on the list what lasts, and reads it again: others may have come. */
function keepSessions(lasts: (session: OpenSession) => boolean): void {
  const { queryKey } = query.sessions()
  queryClient.setQueryData(queryKey, (now) => now && { ...now, items: now.items.filter(lasts) })
  void queryClient.invalidateQueries({ queryKey })
}

export async function endSession(id: string): Promise<void> {
  try {
    await call<void>(apiPath.session(id), { method: 'DELETE' })
  } catch (error) {
    // One that ended meanwhile is what was wanted.
    if (!(error instanceof ApiError && error.type === 'not_found')) throw error
  }
  keepSessions((session) => session.id !== id)
}

/** Ends all sign-ins but this one; how many these were. */
export async function endOtherSessions(): Promise<number> {
  const { ended } = await call<SessionsEnded>(apiPath.sessions(), { method: 'DELETE' })
  keepSessions((session) => session.is_current)
  return ended
}

export const createToken = (body: { label?: string; region?: string; pool_id?: string; uses: number; ttl_s: number }) =>
  call<EnrolmentTokenCreated>(apiPath.tokens(), { method: 'POST', body })

/** Nothing enrols with it from then on; nodes that did stay. */
export async function revokeToken(id: string): Promise<void> {
  try {
    await call<void>(apiPath.token(id), { method: 'DELETE' })
  } catch (error) {
    // One that is gone meanwhile enrols nothing any more, which is what was wanted.
    if (!(error instanceof ApiError && error.type === 'not_found')) throw error
  }
  const { queryKey } = query.recentTokens()
  queryClient.setQueryData(queryKey, (now) => now && { ...now, items: now.items.filter((one) => one.id !== id) })
  void queryClient.invalidateQueries({ queryKey: query.tokens().queryKey })
}

export async function actOnNode(nodeId: string, action: NodeAction, reason: string): Promise<NodeRow> {
  const row = await call<NodeRow>(apiPath.nodeActions(nodeId), { method: 'POST', body: { action, reason } })
  patchNode(queryClient, row)
  void queryClient.invalidateQueries({ queryKey: query.node(nodeId).queryKey })
  return row
}

/** Passes a node on to another organisation. */
export async function transferNode(nodeId: string, orgId: string, reason: string): Promise<NodeRow> {
  const row = await call<NodeRow>(apiPath.nodeActions(nodeId), { method: 'POST', body: { action: 'transfer', org_id: orgId, reason } satisfies NodeActionRequest })
  patchNode(queryClient, row)
  for (const key of [query.node(nodeId).queryKey, ['assignments'], ['nodes'], ['orgs']]) void queryClient.invalidateQueries({ queryKey: key })
  return row
}

/** Says whether somebody takes care of a node. */
export async function assign(nodeId: string, userId: string, assigned: boolean, reason: string): Promise<Assignees> {
  const now = await call<Assignees>(apiPath.nodeAssign(nodeId), { method: 'POST', body: { user_id: userId, assigned, ...(reason && { reason }) } })
  const { queryKey } = query.node(nodeId)
  queryClient.setQueryData(queryKey, (detail) => detail && { ...detail, ...now })
  for (const key of [queryKey, ['assignments'], ['nodes']]) void queryClient.invalidateQueries({ queryKey: key })
  return now
}
