import { useQuery } from '@tanstack/react-query'
import { messageOf } from '~/api/errors'
import { query } from '~/api/queries'
import type { Membership } from '~/api/types'
import { SelectField } from '~/ui/Field'
import { MAIN_ORG, joinable } from '~/util/people'

interface Props {
  value: string
  onChange: (orgId: string) => void
  /** Where the person is already. */
  isIn?: readonly Membership[]
  error?: string | null
}

/** An organisation to be in. */
export function OrgField({ value, onChange, isIn, error }: Props) {
  const orgs = useQuery(query.allOrgs())
  const offered = joinable(orgs.data ?? [], isIn).map(({ org_id: id, name }) => [id, id === MAIN_ORG ? `${name} (the network's own)` : name] as const)
  const isMissing = !offered.some(([id]) => id === value)
  return (
    <SelectField
      label="Organisation"
      value={value}
      options={isMissing ? [[value, value || 'Choose one'], ...offered] : offered}
      onChange={onChange}
      hint={orgs.isError ? `The organisations could not be read: ${messageOf(orgs.error)}` : undefined}
      error={error ?? null}
    />
  )
}
