// Who takes care of a node: said and taken back, each with what it does.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { fieldOf, messageOf } from '~/api/errors'
import { assign } from '~/api/mutations'
import { query } from '~/api/queries'
import type { Assignee } from '~/api/types'
import { ActionForm } from '~/forms/ActionForm'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'
import { SelectField } from '~/ui/Field'
import { assignable } from '~/util/people'

/** What of a node is needed to say who takes care of it. */
export interface CaredNode {
  node_id: string
  org_id?: string | null
  org_name?: string | null
  assignees: readonly Assignee[]
}

const isOfPerson = (error: unknown) => fieldOf(error) === 'user_id'

export function AssignPerson({ node, onClose }: { node: CaredNode; onClose: () => void }) {
  const [userId, setUserId] = useState('')
  const orgId = node.org_id ?? ''
  const members = useQuery({ ...query.membersOf(orgId), enabled: orgId !== '' })
  const offered = assignable(members.data ?? [], orgId, node.assignees).map((one) => [one.user_id, one.email] as const)
  const nobody = members.isPending && orgId ? 'Reading the people…' : offered.length === 0 ? 'Nobody can be chosen' : 'Choose one'
  const done = () => {
    showToast(`Assigned to ${node.node_id}`)
    onClose()
  }
  return (
    <Dialog title={`Assign somebody to ${node.node_id}`} onClose={onClose}>
      <ActionForm
        button="Assign"
        tone="primary"
        keep="Cancel"
        reason="optional"
        whyNot={userId ? null : 'Choose a person first'}
        isDirty={userId !== ''}
        act={(reason) => assign(node.node_id, userId, true, reason)}
        isAtField={isOfPerson}
        onDone={done}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>It says who takes care of the node, and gives no rights: what somebody may do comes from their roles.</p>
            <SelectField
              label="Person"
              value={userId}
              onChange={setUserId}
              options={[['', nobody], ...offered]}
              hint={members.isError ? `The people could not be read: ${messageOf(members.error)}` : orgId ? `Operators of ${node.org_name ?? orgId}, whose node it is.` : 'The node belongs to no organisation, so nobody can be assigned to it.'}
              error={isOfPerson(error) ? messageOf(error) : null}
            />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}

export function EndAssignment({ node, assignee, onClose }: { node: CaredNode; assignee: Assignee; onClose: () => void }) {
  const done = () => {
    showToast(`No longer assigned: ${assignee.email}`)
    onClose()
  }
  return (
    <Dialog title={`Take ${assignee.email} off`} onClose={onClose}>
      <ActionForm button="Take off" tone="danger" reason="optional" act={(reason) => assign(node.node_id, assignee.user_id, false, reason)} onDone={done} onClose={onClose}>
        <p>
          {assignee.email} no longer takes care of {node.node_id}. What they may do does not change: that comes from their roles.
        </p>
      </ActionForm>
    </Dialog>
  )
}
