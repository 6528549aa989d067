import { useState } from 'react'
import type { NodeAction, NodeDetail, NodeStatus } from '~/api/types'
import { ChoosePool, TakeNodeOut } from '~/components/PoolNodeDialogs'
import { TransferNode } from '~/components/TransferNode'
import { NodeActionForm } from '~/forms/NodeActionForm'
import { useMe } from '~/hooks/use-me'
import { Button } from '~/ui/Button'
import { Dialog } from '~/ui/Dialog'

interface ActionText {
  title: string
  button: string
  effect: (nodeId: string) => string
  /** Why it makes no sense now; null when it does. */
  whyNot: (status: NodeStatus) => string | null
  tone: 'danger' | 'primary'
  /** It cannot be undone: the node's id is typed before. */
  isFinal: boolean
}

export const NODE_ACTIONS = {
  quarantine: {
    title: 'Quarantine',
    button: 'Quarantine',
    effect: (nodeId) => `${nodeId} stops receiving work from the network until an admin releases it. Its receipts are still stored.`,
    whyNot: (status) => (status === 'quarantine' ? 'The node is in quarantine already' : null),
    tone: 'danger',
    isFinal: false,
  },
  clear: {
    title: 'Release',
    button: 'Release from quarantine',
    effect: (nodeId) => `${nodeId} leaves quarantine and is probed again; it becomes active once the probe succeeds.`,
    whyNot: (status) => (status === 'quarantine' ? null : 'Only a node in quarantine can be released'),
    tone: 'primary',
    isFinal: false,
  },
  retire: {
    title: 'Retire',
    button: 'Retire for good',
    effect: (nodeId) => `${nodeId} leaves the network for good: it connects no more and receives no work. Its receipts and its history stay. Its machine can enrol again as another node, with a new key.`,
    whyNot: () => null,
    tone: 'danger',
    isFinal: true,
  },
} as const satisfies Partial<Record<NodeAction, ActionText>>

type Offered = keyof typeof NODE_ACTIONS

/** A node that left the network: nothing can be done to it any more. */
export const isRetired = (node: NodeDetail) => node.status_reason === 'admin_retired'

export function NodeActions({ node }: { node: NodeDetail }) {
  const [open, setOpen] = useState<Offered | null>(null)
  const [isPassing, setPassing] = useState(false)
  const [pooling, setPooling] = useState<'in' | 'out' | null>(null)
  const hasPools = useMe()?.private_pools === true
  if (isRetired(node)) return null
  const offered: Offered = node.status === 'quarantine' ? 'clear' : 'quarantine'
  const action = NODE_ACTIONS[offered]
  return (
    <div className="node-actions">
      <Button tone="plain" icon={offered === 'clear' ? 'check' : 'shield'} disabledReason={action.whyNot(node.status)} onClick={() => setOpen(offered)}>
        {action.button}…
      </Button>
      <Button tone="plain" icon="organisation" onClick={() => setPassing(true)}>
        Pass on…
      </Button>
      <Button tone="plain" onClick={() => setOpen('retire')}>
        Retire…
      </Button>
      {hasPools && (
        <Button tone="plain" icon="shield" onClick={() => setPooling('in')}>
          {node.pool ? 'Into another pool…' : 'Into a pool…'}
        </Button>
      )}
      {hasPools && node.pool && (
        <Button tone="plain" onClick={() => setPooling('out')}>
          Out of {node.pool.name}…
        </Button>
      )}
      {pooling === 'in' && <ChoosePool node={node} onClose={() => setPooling(null)} />}
      {pooling === 'out' && node.pool && <TakeNodeOut pool={node.pool} nodeId={node.node_id} onClose={() => setPooling(null)} />}
      {isPassing && <TransferNode node={node} onClose={() => setPassing(false)} />}
      {open && (
        <Dialog title={`${NODE_ACTIONS[open].title} ${node.node_id}`} onClose={() => setOpen(null)}>
          <NodeActionForm nodeId={node.node_id} action={open} text={NODE_ACTIONS[open]} onDone={() => setOpen(null)} />
        </Dialog>
      )}
    </div>
  )
}
