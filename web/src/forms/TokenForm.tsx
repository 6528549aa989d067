import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { messageOf } from '~/api/errors'
import { createToken } from '~/api/mutations'
import { query } from '~/api/queries'
import type { EnrolmentTokenCreated } from '~/api/types'
import { useMe } from '~/hooks/use-me'
import { useSubmit } from '~/hooks/use-submit'
import { Button } from '~/ui/Button'
import { SelectField, TextField } from '~/ui/Field'
import { SYSTEMS, SYSTEM_NAMES, type System, systemOf } from '~/util/install'

const TOKEN_TTL_S = 3600
const NODE_ID = '[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}'

export interface TokenChoice {
  system: System
  region: string
  poolId?: string
  nodeId: string
}

export function TokenForm({ onMade }: { onMade: (made: EnrolmentTokenCreated, choice: TokenChoice) => void }) {
  const [choice, setChoice] = useState<TokenChoice>(() => ({ system: systemOf(navigator.userAgent), region: '', nodeId: '' }))
  const regions = useQuery(query.regions())
  const me = useMe()
  const orgId = me?.org_id ?? ''
  const pools = useQuery({ ...query.poolsOf(orgId), enabled: me?.private_pools === true && orgId !== '' })
  const offered = pools.data?.items ?? []
  const make = useSubmit({
    mutationFn: () => {
      const { region, poolId } = choice
      return createToken({ ...(region && { region }), ...(poolId && { pool_id: poolId }), ...(choice.nodeId && { label: choice.nodeId }), uses: 1, ttl_s: TOKEN_TTL_S })
    },
    onSuccess: (made) => onMade(made, choice),
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    make.submit()
  }
  return (
    <form className="form" onSubmit={submit} data-dirty={choice.region || choice.nodeId || choice.poolId ? '' : undefined}>
      <fieldset className="segmented">
        <legend>Operating system</legend>
        <div>
          {SYSTEMS.map((system) => (
            <label key={system}>
              <input type="radio" name="system" value={system} checked={choice.system === system} onChange={() => setChoice((now) => ({ ...now, system }))} />
              <span>{SYSTEM_NAMES[system]}</span>
            </label>
          ))}
        </div>
      </fieldset>
      <div className="form-row">
        <SelectField
          label="Region"
          value={choice.region}
          options={[['', 'Not given'], ...(regions.data?.items ?? []).map(({ region }) => [region, region] as const)]}
          onChange={(region) => setChoice((now) => ({ ...now, region }))}
          hint={regions.isError ? `The regions could not be read: ${messageOf(regions.error)}` : 'Where the machine stands; shown to people.'}
        />
        <TextField
          label="Node name (optional)"
          placeholder="studio-01"
          pattern={NODE_ID}
          value={choice.nodeId}
          onChange={(event) => setChoice((now) => ({ ...now, nodeId: event.target.value }))}
          hint="Letters, digits, dot, dash. Left empty, one is made."
        />
      </div>
      {(offered.length > 0 || pools.isError) && (
        <SelectField
          label="Private pool"
          value={choice.poolId ?? ''}
          options={[['', 'None: everybody may see the node'], ...offered.map((pool) => [pool.pool_id, pool.name] as const)]}
          onChange={(poolId) => setChoice((now) => ({ ...now, poolId }))}
          hint={pools.isError ? `The pools could not be read: ${messageOf(pools.error)}` : 'In a pool it is hidden from its first moment.'}
        />
      )}
      {make.error && (
        <p className="field-error" role="alert">
          No token was made, so there is nothing to copy: {messageOf(make.error)}
        </p>
      )}
      <Button tone="primary" type="submit" isBusy={make.isPending}>
        Make the command
      </Button>
    </form>
  )
}
