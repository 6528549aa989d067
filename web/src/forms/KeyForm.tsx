import { useId, useState } from 'react'
import { fieldOf, messageOf } from '~/api/errors'
import { createKey } from '~/api/keys'
import type { ApiKeyCreated, ApiKeyScope } from '~/api/types'
import { ActionForm } from '~/forms/ActionForm'
import { useMe } from '~/hooks/use-me'
import { SelectField, TextField } from '~/ui/Field'
import { SCOPES, SCOPE_NAMES, isInUse, modelIds, nanoUsd, whyNotGiven } from '~/util/api-keys'

const NAME_MAX = 64
const DAYS = [
  ['7', '7 days'],
  ['30', '30 days'],
  ['90', '90 days'],
  ['365', 'A year'],
] as const
const IN_USE = SCOPE_NAMES.filter(isInUse)
const LATER = SCOPE_NAMES.filter((scope) => !isInUse(scope))
const FIELDS = ['name', 'scopes', 'models', 'budget_nano_usd', 'days']

interface Props {
  onMade: (made: ApiKeyCreated) => void
  onClose: () => void
}

export function KeyForm({ onMade, onClose }: Props) {
  const me = useMe()
  const [name, setName] = useState('')
  const [scopes, setScopes] = useState<ApiKeyScope[]>([])
  const [days, setDays] = useState('30')
  const [models, setModels] = useState('')
  const [budget, setBudget] = useState('')
  const nano = budget.trim() ? nanoUsd(budget) : undefined
  const ids = modelIds(models)
  const act = () =>
    createKey({ name: name.trim(), scopes, days: Number(days), ...(ids.length > 0 && { models: ids }), ...(nano && { budget_nano_usd: nano }) })
  const whyNot = !name.trim() ? 'Write a name first' : scopes.length === 0 ? 'Choose what it may do first' : nano === null ? 'Write the budget as dollars, such as 5 or 0.50' : null
  const org = me?.memberships.find((one) => one.org_id === me.org_id)?.org_name ?? 'your organisation'
  return (
    <ActionForm
      button="Make the key"
      tone="primary"
      keep="Cancel"
      reason="none"
      whyNot={whyNot}
      isDirty={name !== '' || scopes.length > 0 || models !== '' || budget !== ''}
      act={act}
      isAtField={(error) => FIELDS.includes(fieldOf(error) ?? '')}
      onDone={onMade}
      onClose={onClose}
    >
      {(error) => {
        const refusal = (field: string) => (fieldOf(error) === field ? messageOf(error) : null)
        return (
          <>
            <p>A program with it acts for you in {org}, and never as an admin. It can do no more than you can at that time.</p>
            <div className="form-row">
              <TextField label="Name" required maxLength={NAME_MAX} autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} hint="By which you know it again." error={refusal('name')} />
              <SelectField label="Expires after" value={days} options={DAYS} onChange={setDays} error={refusal('days')} />
            </div>
            <ScopesField roles={me?.roles ?? []} scopes={scopes} onChange={setScopes} error={refusal('scopes')} />
            <div className="form-row">
              <TextField
                label="Models (optional)"
                autoComplete="off"
                value={models}
                onChange={(event) => setModels(event.target.value)}
                hint="Their ids, with commas between. All where empty."
                error={refusal('models')}
              />
              <TextField
                label="Budget, USD (optional)"
                autoComplete="off"
                inputMode="decimal"
                value={budget}
                onChange={(event) => setBudget(event.target.value)}
                hint="In all. No limit where empty."
                error={refusal('budget_nano_usd')}
              />
            </div>
          </>
        )
      }}
    </ActionForm>
  )
}

interface ScopesProps {
  roles: readonly string[]
  scopes: readonly ApiKeyScope[]
  onChange: (scopes: ApiKeyScope[]) => void
  error: string | null
}

/** What a key may be used for; what its maker may not do says why. What nothing takes yet is out of the way. */
function ScopesField({ roles, scopes, onChange, error }: ScopesProps) {
  const id = useId()
  const field = (scope: ApiKeyScope) => {
    const whyNot = whyNotGiven(scope, roles)
    return (
      <div key={scope} className="role">
        <label className="check">
          <input
            type="checkbox"
            aria-describedby={`${id}-${scope}`}
            disabled={whyNot !== null}
            checked={whyNot === null && scopes.includes(scope)}
            onChange={(event) => onChange(event.target.checked ? [...scopes, scope] : scopes.filter((one) => one !== scope))}
          />
          <code>{scope}</code>
        </label>
        <p id={`${id}-${scope}`} className="hint">
          {whyNot ?? SCOPES[scope].meaning}
        </p>
      </div>
    )
  }
  const chosen = LATER.filter((scope) => scopes.includes(scope)).length
  return (
    <fieldset className="roles scopes" aria-describedby={error ? `${id}-error` : undefined}>
      <legend>It may</legend>
      {IN_USE.map(field)}
      <details className="twin">
        <summary>
          {LATER.length} more that nothing takes yet{chosen > 0 && `, ${chosen} chosen`}
        </summary>
        <div className="roles scopes">{LATER.map(field)}</div>
      </details>
      {error && (
        <p id={`${id}-error`} className="field-error" role="alert">
          {error}
        </p>
      )}
    </fieldset>
  )
}
