import type { NodeStatus } from '~/api/types'
import { NODE_STATUS } from '~/components/StatusChip'
import { count } from '~/util/format'
import { NODE_STATUSES } from '~/util/filters'

const ORDER: NodeStatus[] = ['active', 'pending', 'quarantine', 'offline']
const WIDTH = 240
const HEIGHT = 8
const GAP = 2

/** How the nodes divide over the four statuses, in words and as a bar. */
export function StatusBar({ nodes }: { nodes: Record<NodeStatus, number> }) {
  const total = NODE_STATUSES.reduce((sum, status) => sum + nodes[status], 0)
  const share = (status: NodeStatus) => (nodes[status] / Math.max(1, total)) * WIDTH
  const present = ORDER.filter((status) => nodes[status] > 0)
  const parts = present.map((status, i) => ({
    status,
    x: present.slice(0, i).reduce((sum, before) => sum + share(before), 0),
    width: Math.max(GAP, share(status) - GAP),
  }))
  return (
    <div className="status-bar">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        <rect className="bar-base" width={WIDTH} height={HEIGHT} rx="3" />
        {parts.map((part) => (
          <rect key={part.status} className={`bar-${NODE_STATUS[part.status].tone}`} x={part.x} width={part.width} height={HEIGHT} />
        ))}
      </svg>
      <ul>
        {ORDER.map((status) => (
          <li key={status} className={nodes[status] === 0 ? 'is-zero' : ''}>
            <strong>{count(nodes[status])}</strong> {NODE_STATUS[status].word.toLowerCase()}
          </li>
        ))}
      </ul>
    </div>
  )
}
