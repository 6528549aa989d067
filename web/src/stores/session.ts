import type { Me } from '~/api/types'
import { createStore } from '~/stores/store'

/** `unknown` until the first answer; `expired` when a signed-in session ended under the open page. */
export type Session =
  | { kind: 'unknown' }
  | { kind: 'anonymous' }
  | { kind: 'signed-in'; me: Me }
  | { kind: 'expired'; me: Me }

export const session = createStore<Session>({ kind: 'unknown' })

/** Counts the times that the page became somebody else's to see: what is drawn belongs to one of them alone. */
export const view = createStore(0)

/** Somebody is asked to sign in over the page, though their session lasts: for what they want it is too old. */
export const signInAsked = createStore(false)

/** This sign-in is on its way to another organisation: until it is there, no page is shown. */
export const isChanging = createStore(false)

export function signedIn(me: Me): void {
  session.set({ kind: 'signed-in', me })
}

export function signedOut(): void {
  session.set({ kind: 'anonymous' })
}

/** The refresh was refused: keep the page, ask for the password over it. */
export function sessionEnded(): void {
  session.set((now) => (now.kind === 'signed-in' || now.kind === 'expired' ? { kind: 'expired', me: now.me } : { kind: 'anonymous' }))
}

export function currentMe(now: Session): Me | null {
  return now.kind === 'signed-in' || now.kind === 'expired' ? now.me : null
}

/** Whose eyes the page has: the person, the organisation they act for, and what they may do there. */
export const rightsOf = (me: Me | null): string | null => me && [me.user_id, me.org_id ?? '', ...me.roles.toSorted()].join(' ')

/** The organisations that one can act for. */
export const openMemberships = (me: Me | null) => me?.memberships.filter((one) => !one.is_closed) ?? []

/** Whether receipts are shown to this person: their organisation's to operators, all to admins. */
export function seesReceipts(me: Me | null): boolean {
  return hasRole(me, 'admin', 'operator')
}

/** Whether the nodes of an organisation are theirs to look after, and not those of the whole network: an operator's, not an admin's. */
export function looksAfterOwn(me: Pick<Me, 'roles'> | null): boolean {
  return hasRole(me, 'operator') && !hasRole(me, 'admin')
}

export function hasRole(me: Pick<Me, 'roles'> | null, ...roles: string[]): boolean {
  return me !== null && me.roles.some((role) => roles.includes(role))
}
