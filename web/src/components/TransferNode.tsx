import { useState } from 'react'
import { ApiError, messageOf } from '~/api/errors'
import { transferNode } from '~/api/mutations'
import type { NodeDetail } from '~/api/types'
import { ActionForm } from '~/forms/ActionForm'
import { OrgField } from '~/forms/OrgField'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'

const isOfOrg = (error: unknown) => error instanceof ApiError && error.type === 'not_found'

/** Passes a node on to another organisation; says what it does before. */
export function TransferNode({ node, onClose }: { node: NodeDetail; onClose: () => void }) {
  const [orgId, setOrgId] = useState('')
  const isThere = orgId !== '' && orgId === node.org_id
  const done = () => {
    showToast(`Passed on: ${node.node_id}`)
    onClose()
  }
  return (
    <Dialog title={`Pass ${node.node_id} on`} onClose={onClose}>
      <ActionForm
        button="Pass the node on"
        tone="danger"
        reason="required"
        whyNot={orgId === '' ? 'Choose an organisation first' : isThere ? 'It belongs to this organisation already' : null}
        isDirty={orgId !== ''}
        act={(reason) => transferNode(node.node_id, orgId, reason)}
        isAtField={isOfOrg}
        onDone={done}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>The node is the other organisation's at once. Its session ends, its secret works no more, and nobody takes care of it any more.</p>
            <p>{node.org_name ?? 'The organisation before'} keeps all receipts that the node's present key signed, also those that come later.</p>
            <p>
              The other organisation enrols the machine again with a token of its own, <code>dgon-agent enroll --force</code>, and changes its key,{' '}
              <code>dgon-agent key rotate</code>. Until both are done the node does not connect.
            </p>
            <OrgField value={orgId} onChange={setOrgId} error={isOfOrg(error) ? messageOf(error) : null} />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}
