// A node goes into a private pool, and out of it.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { ApiError, fieldOf, messageOf } from '~/api/errors'
import { setPoolNode } from '~/api/pools'
import { query } from '~/api/queries'
import type { Pool, PoolRef } from '~/api/types'
import { ActionForm } from '~/forms/ActionForm'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'
import { SelectField, TextField } from '~/ui/Field'

const WHO_SEES = 'It is then seen by the operators of its own organisation and of those that the pool admits, and by admins. Receipts that it served are on no public page.'
const isOfNode = (error: unknown) => fieldOf(error) === 'node_id' || (error instanceof ApiError && error.type === 'not_found')

interface NodeInNoPool {
  node_id: string
  org_id?: string | null
  org_name?: string | null
  pool?: PoolRef | null
}

/** From the page of the node: into which pool of its organisation. */
export function ChoosePool({ node, onClose }: { node: NodeInNoPool; onClose: () => void }) {
  const [poolId, setPoolId] = useState('')
  const orgId = node.org_id ?? ''
  const pools = useQuery({ ...query.poolsOf(orgId), enabled: orgId !== '' })
  const offered = (pools.data?.items ?? []).filter((pool) => pool.pool_id !== node.pool?.pool_id).map((pool) => [pool.pool_id, pool.name] as const)
  const nothing = pools.isPending && orgId ? 'Reading the pools…' : offered.length === 0 ? 'There is none to choose' : 'Choose one'
  const done = () => {
    showToast(`In the pool: ${node.node_id}`)
    onClose()
  }
  return (
    <Dialog title={`Put ${node.node_id} into a pool`} onClose={onClose}>
      <ActionForm
        button="Put it in"
        tone="primary"
        keep="Cancel"
        reason="optional"
        whyNot={poolId ? null : 'Choose a pool first'}
        isDirty={poolId !== ''}
        act={(reason) => setPoolNode(poolId, node.node_id, true, reason)}
        isAtField={isOfNode}
        onDone={done}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>{WHO_SEES}</p>
            <SelectField
              label="Pool"
              value={poolId}
              onChange={setPoolId}
              options={[['', nothing], ...offered]}
              hint={pools.isError ? `The pools could not be read: ${messageOf(pools.error)}` : orgId ? `Open pools of ${node.org_name ?? orgId}, whose node it is.` : 'The node belongs to no organisation, so it can be in no pool.'}
              error={isOfNode(error) ? messageOf(error) : null}
            />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}

/** From the page of the pool: which node. */
export function PutNode({ pool, onClose }: { pool: Pool; onClose: () => void }) {
  const [text, setText] = useState('')
  const nodeId = text.trim()
  const done = () => {
    showToast(`In the pool: ${nodeId}`)
    onClose()
  }
  return (
    <Dialog title={`Put a node into ${pool.name}`} onClose={onClose}>
      <ActionForm
        button="Put it in"
        tone="primary"
        keep="Cancel"
        reason="optional"
        whyNot={nodeId ? null : 'Write the id of a node first'}
        isDirty={text !== ''}
        act={(reason) => setPoolNode(pool.pool_id, nodeId, true, reason)}
        isAtField={isOfNode}
        onDone={done}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>{WHO_SEES}</p>
            <TextField label="Node id" required autoComplete="off" spellCheck={false} maxLength={64} value={text} onChange={(event) => setText(event.target.value)} hint={`A node of ${pool.org_name}.`} error={isOfNode(error) ? messageOf(error) : null} />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}

export function TakeNodeOut({ pool, nodeId, onClose }: { pool: PoolRef; nodeId: string; onClose: () => void }) {
  const done = () => {
    showToast(`Taken out: ${nodeId}`)
    onClose()
  }
  return (
    <Dialog title={`Take ${nodeId} out of ${pool.name}`} onClose={onClose}>
      <ActionForm button="Take it out" tone="danger" reason="required" act={(reason) => setPoolNode(pool.pool_id, nodeId, false, reason)} onDone={done} onClose={onClose}>
        <p>From then on {nodeId} is as public as any node, with the history of its states. To keep it private, put it into another pool instead.</p>
      </ActionForm>
    </Dialog>
  )
}
