import type { Me } from '~/api/types'
import { rolesText } from '~/util/people'

/** Where one is and what one may do there; the organisation that this sign-in acts for is marked. */
export function OwnMemberships({ me }: { me: Me }) {
  if (me.memberships.length === 0) return <span>None. An admin can add you to one.</span>
  return (
    <ul className="plain-list">
      {me.memberships.map((one) => (
        <li key={one.org_id} className="named">
          <span className="break">{one.org_name}</span>
          <span className="muted">{rolesText(one.roles)}</span>
          {one.is_closed ? <span className="chip chip-grey">Closed</span> : one.org_id === me.org_id && <span className="chip chip-green">You act for it</span>}
        </li>
      ))}
    </ul>
  )
}
