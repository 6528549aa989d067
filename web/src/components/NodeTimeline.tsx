import type { NodeDetail, NodeStatus } from '~/api/types'
import { NODE_STATUS, NodeStatusChip } from '~/components/StatusChip'
import { sentence } from '~/components/NodeView'
import { EmptyState } from '~/ui/states'
import { Time } from '~/ui/Time'

const isStatus = (text: string): text is NodeStatus => text in NODE_STATUS

/** States on the way to a status, and after all of them. */
const ON_THE_WAY: Record<string, string> = { registered: 'Enrolled', pending_probe: 'Waiting for its probe', retired: 'Retired' }

function State({ name }: { name: string }) {
  if (isStatus(name)) return <NodeStatusChip status={name} />
  // A newer word is shown as it is.
  return <span className="chip chip-grey">{ON_THE_WAY[name] ?? name}</span>
}

export function NodeTimeline({ node: { history: entries } }: { node: NodeDetail }) {
  // Also of one's own node: what was before it was passed on.
  const isLess = entries.some(({ actor }) => !actor)
  if (entries.length === 0) return <EmptyState title="No history yet">Changes of status appear here, with who or what made them.</EmptyState>
  return (
    <>
      {isLess && <p className="muted timeline-note">Who or what made a change, and its details, are shown to whoever operated the node then.</p>}
      <ol className="timeline">
      {entries.map((entry) => (
        <li key={`${entry.at} ${entry.to}`}>
          <span className="timeline-head">
            <State name={entry.to} />
            <span className="muted">
              <Time at={entry.at} form="full" />
            </span>
          </span>
          <p>
            {entry.reason && sentence(entry.reason)} {entry.detail}
          </p>
          {entry.actor && <p className="muted">By {entry.actor}</p>}
        </li>
      ))}
      </ol>
    </>
  )
}
