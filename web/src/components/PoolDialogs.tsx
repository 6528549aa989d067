// What admins do about a private pool, each with what it does.
import { useState } from 'react'
import { ApiError, fieldOf, messageOf } from '~/api/errors'
import { changePool, closePool, createPool, setPoolMember } from '~/api/pools'
import type { Pool, PoolDetail, PoolMember } from '~/api/types'
import { ActionForm } from '~/forms/ActionForm'
import { OrgField } from '~/forms/OrgField'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'
import { SelectField, TextField } from '~/ui/Field'
import { EXISTENCE, labelsText, readLabels } from '~/util/pools'

const NAME_MAX = 63
const OPTIONS = Object.entries(EXISTENCE)
const isOfName = (error: unknown) => fieldOf(error) === 'name'
const isOfLabels = (error: unknown) => fieldOf(error) === 'labels'
const isOfOrg = (error: unknown) => fieldOf(error) === 'org_id' || (error instanceof ApiError && error.type === 'not_found')

interface Wish {
  name: string
  labels: string
  existence: string
}

function WishFields({ wish, onChange, error }: { wish: Wish; onChange: (change: Partial<Wish>) => void; error: unknown }) {
  return (
    <>
      <TextField
        label="Name"
        required
        maxLength={NAME_MAX}
        autoComplete="off"
        spellCheck={false}
        value={wish.name}
        onChange={(event) => onChange({ name: event.target.value })}
        hint="Small letters, digits and hyphens. No two open pools of an organisation have the same."
        error={isOfName(error) ? messageOf(error) : null}
      />
      <TextField
        label="Labels (optional)"
        autoComplete="off"
        spellCheck={false}
        placeholder="tier=gold, site=north"
        value={wish.labels}
        onChange={(event) => onChange({ labels: event.target.value })}
        hint="At most 16, with commas between them."
        error={isOfLabels(error) ? messageOf(error) : readLabels(wish.labels) ? null : 'Each label has a key of its own before its =.'}
      />
      <SelectField label="To everybody else" value={wish.existence} options={OPTIONS} onChange={(existence) => onChange({ existence })} />
    </>
  )
}

const whyNot = (wish: Wish) => (!wish.name.trim() ? 'Write a name first' : readLabels(wish.labels) ? null : 'Correct the labels first')

export function MakePool({ onClose, onMade }: { onClose: () => void; onMade: (pool: PoolDetail) => void }) {
  const [orgId, setOrgId] = useState('')
  const [wish, setWish] = useState<Wish>({ name: '', labels: '', existence: 'hidden' })
  const done = (pool: PoolDetail) => {
    showToast(`Made: ${pool.name}`)
    onMade(pool)
  }
  const act = (reason: string) =>
    createPool({ org_id: orgId, name: wish.name.trim(), labels: readLabels(wish.labels) ?? {}, existence: wish.existence, ...(reason && { reason }) })
  const isOfOwner = (error: unknown) => error instanceof ApiError && error.type === 'not_found'
  return (
    <Dialog title="Make a private pool" onClose={onClose}>
      <ActionForm
        button="Make it"
        tone="primary"
        keep="Cancel"
        reason="optional"
        whyNot={orgId ? whyNot(wish) : 'Choose an organisation first'}
        isDirty={orgId !== '' || wish.name !== '' || wish.labels !== ''}
        act={act}
        isAtField={(error) => isOfName(error) || isOfLabels(error) || isOfOwner(error)}
        onDone={done}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>Nodes in it are seen by their own organisation, by organisations that you admit, and by admins.</p>
            <OrgField value={orgId} onChange={setOrgId} error={isOfOwner(error) ? messageOf(error) : null} />
            <WishFields wish={wish} onChange={(change) => setWish((now) => ({ ...now, ...change }))} error={error} />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}

interface Props {
  pool: Pool
  onClose: () => void
}

export function ChangePool({ pool, onClose }: Props) {
  const before: Wish = { name: pool.name, labels: labelsText(pool.labels), existence: pool.existence }
  const [wish, setWish] = useState<Wish>(before)
  const isSame = wish.name.trim() === before.name && wish.labels.trim() === before.labels && wish.existence === before.existence
  const done = () => {
    showToast(`Changed: ${wish.name.trim()}`)
    onClose()
  }
  const act = (reason: string) => changePool(pool.pool_id, { name: wish.name.trim(), labels: readLabels(wish.labels) ?? {}, existence: wish.existence, ...(reason && { reason }) })
  return (
    <Dialog title={`Change ${pool.name}`} onClose={onClose}>
      <ActionForm
        button="Change"
        tone="primary"
        reason="optional"
        whyNot={isSame ? 'It is so already' : whyNot(wish)}
        isDirty={!isSame}
        act={act}
        isAtField={(error) => isOfName(error) || isOfLabels(error)}
        onDone={done}
        onClose={onClose}
      >
        {(error) => <WishFields wish={wish} onChange={(change) => setWish((now) => ({ ...now, ...change }))} error={error} />}
      </ActionForm>
    </Dialog>
  )
}

export function ClosePool({ pool, onClose }: Props) {
  const done = () => {
    showToast(`Closed: ${pool.name}`)
    onClose()
  }
  return (
    <Dialog title={`Close ${pool.name}`} onClose={onClose}>
      <ActionForm button="Close for good" tone="danger" reason="required" act={(reason) => closePool(pool.pool_id, reason)} onDone={done} onClose={onClose}>
        <p>It admits nobody any more, and its enrolment tokens stop to work. It cannot be opened again.</p>
        <p>It must have no nodes: outside of it everybody could see them, so that is said of each.</p>
      </ActionForm>
    </Dialog>
  )
}

export function AdmitOrg({ pool, onClose }: Props) {
  const [orgId, setOrgId] = useState('')
  const done = () => {
    showToast(`Admitted to ${pool.name}`)
    onClose()
  }
  return (
    <Dialog title={`Admit an organisation to ${pool.name}`} onClose={onClose}>
      <ActionForm
        button="Admit"
        tone="primary"
        keep="Cancel"
        reason="optional"
        whyNot={orgId === '' ? 'Choose an organisation first' : orgId === pool.org_id ? 'The pool is theirs' : null}
        isDirty={orgId !== ''}
        act={(reason) => setPoolMember(pool.pool_id, orgId, true, reason)}
        isAtField={isOfOrg}
        onDone={done}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>Its operators see the nodes in the pool, without what tells whose machines they are. Nothing of them is theirs to change.</p>
            <OrgField value={orgId} onChange={setOrgId} error={isOfOrg(error) ? messageOf(error) : null} />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}

export function DismissOrg({ pool, member, onClose }: Props & { member: PoolMember }) {
  const done = () => {
    showToast(`No longer admitted: ${member.org_name}`)
    onClose()
  }
  return (
    <Dialog title={`Take ${member.org_name} off`} onClose={onClose}>
      <ActionForm button="Take off" tone="danger" reason="optional" act={(reason) => setPoolMember(pool.pool_id, member.org_id, false, reason)} onDone={done} onClose={onClose}>
        <p>
          To {member.org_name} nothing of {pool.name} is there any more, at once.
        </p>
      </ActionForm>
    </Dialog>
  )
}
