// What admins change about people and organisations. What was read of either is read again after it.
import { call, readMe } from '~/api/client'
import { query, queryClient } from '~/api/queries'
import type { Organisation, Page, Role, SignInLink, User } from '~/api/types'
import { currentMe, session } from '~/stores/session'
import { apiPath } from '~/util/path-builder'

function peopleChanged(): void {
  for (const key of ['users', 'orgs']) void queryClient.invalidateQueries({ queryKey: [key] })
}

/** One's own memberships are told with one's session, which nobody tells of a name or of one more organisation. */
function renewOwn(isOwn: boolean): void {
  if (isOwn) void readMe().catch(() => undefined)
}

function put(user: User): User {
  // Where it is on screen: whoever took their own role away has lost the page meanwhile.
  queryClient.setQueryData(query.user(user.user_id).queryKey, (now) => now && user)
  void queryClient.invalidateQueries({ queryKey: query.user(user.user_id).queryKey })
  peopleChanged()
  renewOwn(user.user_id === currentMe(session.get())?.user_id)
  return user
}

export async function inviteUser(body: { email: string; org_id: string; roles: Role[] }): Promise<SignInLink> {
  const link = await call<SignInLink>(apiPath.users(), { method: 'POST', body })
  peopleChanged()
  return link
}

export const makeSignInLink = (userId: string) => call<SignInLink>(apiPath.userLink(userId), { method: 'POST' })

export const disableUser = (userId: string, reason: string) =>
  call<User>(apiPath.user(userId), { method: 'PATCH', body: { disabled: true, reason } }).then(put)

export const enableUser = (userId: string, reason: string) =>
  call<User>(apiPath.user(userId), { method: 'PATCH', body: { disabled: false, ...(reason && { reason }) } }).then(put)

export const resetSecondFactor = (userId: string, reason: string) =>
  call<User>(apiPath.userSecondFactorReset(userId), { method: 'POST', body: { reason } }).then(put)

export const setMembership = (userId: string, orgId: string, roles: Role[], reason: string) =>
  call<User>(apiPath.membership(userId, orgId), { method: 'PUT', body: { roles, ...(reason && { reason }) } }).then(put)

export const removeMembership = (userId: string, orgId: string) => call<User>(apiPath.membership(userId, orgId), { method: 'DELETE' }).then(put)

function orgChanged(org: Organisation): Organisation {
  const inPlace = (items: Organisation[]) => items.map((one) => (one.org_id === org.org_id ? org : one))
  queryClient.setQueriesData<Page<Organisation> | Organisation[]>({ queryKey: ['orgs'] }, (now) => now && (Array.isArray(now) ? inPlace(now) : { ...now, items: inPlace(now.items) }))
  void queryClient.invalidateQueries({ queryKey: ['user'] })
  peopleChanged()
  renewOwn(currentMe(session.get())?.memberships.some((one) => one.org_id === org.org_id) ?? false)
  return org
}

export const createOrg = (name: string) => call<Organisation>(apiPath.orgs(), { method: 'POST', body: { name } }).then(orgChanged)

export const renameOrg = (orgId: string, name: string) => call<Organisation>(apiPath.org(orgId), { method: 'PATCH', body: { name } }).then(orgChanged)

export const closeOrg = (orgId: string, reason: string) =>
  call<Organisation>(apiPath.orgClose(orgId), { method: 'POST', body: { reason } }).then(orgChanged)
