import { useId } from 'react'
import type { Role } from '~/api/types'
import { ROLES, ROLE_NAMES, whyNotThere } from '~/util/people'

interface Props {
  orgId: string
  roles: readonly Role[]
  onChange: (roles: Role[]) => void
  error?: string | null
}

/** What somebody may do in an organisation; a role that cannot be given there says why. */
export function RolesField({ orgId, roles, onChange, error }: Props) {
  const id = useId()
  return (
    <fieldset className="roles" aria-describedby={error ? `${id}-error` : undefined}>
      <legend>Roles</legend>
      {ROLE_NAMES.map((role) => {
        const whyNot = whyNotThere(role, orgId)
        return (
          <div key={role} className="role">
            <label className="check">
              <input
                type="checkbox"
                aria-describedby={`${id}-${role}`}
                disabled={whyNot !== null}
                checked={whyNot === null && roles.includes(role)}
                onChange={(event) => onChange(event.target.checked ? [...roles, role] : roles.filter((one) => one !== role))}
              />
              {ROLES[role].word}
            </label>
            <p id={`${id}-${role}`} className="hint">
              {whyNot ?? ROLES[role].meaning}
            </p>
          </div>
        )
      })}
      {error && (
        <p id={`${id}-error`} className="field-error" role="alert">
          {error}
        </p>
      )}
    </fieldset>
  )
}
