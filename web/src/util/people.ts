// What people may do, in words.
import type { Assignee, Membership, Organisation, Role, User } from '~/api/types'

/** The organisation of the network itself: admins are in it, and it is never closed. */
export const MAIN_ORG = 'main'

export const ROLES = {
  admin: { word: 'Admin', meaning: 'Administers the whole network and sees all of it.' },
  operator: { word: 'Operator', meaning: "Runs the organisation's nodes: enrols them and sees their receipts." },
  consumer: { word: 'Consumer', meaning: 'Uses the network.' },
  viewer: { word: 'Viewer', meaning: 'Sees the state of the network, and changes nothing.' },
} as const satisfies Record<Role, { word: string; meaning: string }>

export const ROLE_NAMES = Object.keys(ROLES) as Role[]

/** `Operator, viewer`. A role that a newer server has is shown by its name. */
export function rolesText(roles: readonly string[]): string {
  const text = roles.join(', ')
  return text ? text.charAt(0).toUpperCase() + text.slice(1) : 'None'
}

/** Why a role cannot be given there; null where it can. */
export const whyNotThere = (role: Role, orgId: string): string | null =>
  role === 'admin' && orgId !== MAIN_ORG ? "Admins administer the whole network: only members of the network's own organisation can be one." : null

/** The organisations that somebody can be added to, by name, the network's own first. */
export function joinable(orgs: readonly Organisation[], isIn: readonly Membership[] = []): Organisation[] {
  const taken = new Set(isIn.map((one) => one.org_id))
  const rank = ({ org_id: id }: Organisation) => (id === MAIN_ORG ? 0 : 1)
  return orgs.filter((org) => !org.closed_at && !taken.has(org.org_id)).toSorted((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name))
}

/** Roles of those who can be assigned to a node of the organisation in which they have them. */
const MAY_CARE: ReadonlySet<Role> = new Set(['admin', 'operator'])

/** Who can be assigned to a node of this organisation and is not, by address. */
export function assignable(people: readonly User[], orgId: string, are: readonly Assignee[]): User[] {
  const taken = new Set(are.map((one) => one.user_id))
  const mayCare = (user: User) => user.memberships.some((one) => one.org_id === orgId && one.roles.some((role) => MAY_CARE.has(role)))
  return people.filter((user) => !user.disabled_at && !taken.has(user.user_id) && mayCare(user)).toSorted((a, b) => a.email.localeCompare(b.email))
}
