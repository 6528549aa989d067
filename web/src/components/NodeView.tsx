import type { NodeDetail } from '~/api/types'
import { NodeActions, isRetired } from '~/components/NodeActions'
import { NodeHardware } from '~/components/NodeHardware'
import { NodeOverview } from '~/components/NodeOverview'
import { NodeReceipts } from '~/components/NodeReceipts'
import { NodeTimeline } from '~/components/NodeTimeline'
import { NodeStatusChip } from '~/components/StatusChip'
import { useMe } from '~/hooks/use-me'
import { useSearchParams } from '~/hooks/use-search'
import { hasRole } from '~/stores/session'
import { CopyButton } from '~/ui/CopyButton'
import { Tabs } from '~/ui/Tabs'
import { Time } from '~/ui/Time'
import { Truncate } from '~/ui/Truncate'

const TABS = [
  { id: 'overview', title: 'Overview' },
  { id: 'receipts', title: 'Receipts' },
  { id: 'hardware', title: 'Hardware' },
  { id: 'history', title: 'History' },
] as const

type Tab = (typeof TABS)[number]['id']

const DEFAULT_TAB: Tab = 'overview'

/** Everything about one node; the drawer and the page show the same. */
export function NodeView({ node }: { node: NodeDetail }) {
  const [search, change] = useSearchParams()
  const tab = TABS.find(({ id }) => id === search.tab)?.id ?? DEFAULT_TAB
  const isAdmin = hasRole(useMe(), 'admin')
  return (
    <div className="node-view">
      <div className="node-status">
        <NodeStatusChip status={node.status} />
        <p>
          {silence(node)}
          {node.status_reason ? <strong>{sentence(node.status_reason)} </strong> : null}
          <span className="muted">
            Since <Time at={node.status_since} form="short" />
          </span>
        </p>
      </div>
      <p className="fingerprint muted">
        Key <code>{node.key_id}</code>
        <CopyButton isCompact text={node.public_key} what="public key" />
        <span className="mono">
          <Truncate text={node.public_key} max={28} />
        </span>
      </p>
      <Handover node={node} />
      {isAdmin && <NodeActions node={node} />}
      <Tabs label="Node" tabs={TABS} selected={tab} onSelect={(id) => change({ tab: id === DEFAULT_TAB ? undefined : id }, 'replace')}>
        {tab === 'overview' && <NodeOverview node={node} />}
        {tab === 'receipts' && <NodeReceipts node={node} />}
        {tab === 'hardware' && <NodeHardware node={node} />}
        {tab === 'history' && <NodeTimeline node={node} />}
      </Tabs>
    </div>
  )
}

/** What is still to be done where the node was passed on. */
function Handover({ node }: { node: NodeDetail }) {
  const { handover, org_name: org } = node
  if (!handover || isRetired(node)) return null
  return (
    <p className="notice notice-amber">
      The node was passed on to {org ?? 'this organisation'} and does not connect yet:{' '}
      {handover === 'enrolment' ? (
        <>
          stop its agent and enrol it again with a token of that organisation, <code>dgon-agent enroll --force</code>, then <code>dgon-agent key rotate</code>.
        </>
      ) : (
        <>
          change its key with <code>dgon-agent key rotate</code>.
        </>
      )}
    </p>
  )
}

/** An active node that is not heard: what is shown of it is what it said last. */
function silence({ status, connected, late, last_heartbeat_at: heard }: NodeDetail) {
  if (status !== 'active' || (connected && !late)) return null
  return (
    <>
      <strong className="late">{connected ? 'Late.' : 'Not connected.'} </strong>
      <span className="muted">
        Last heard <Time at={heard} form="ago" />.{' '}
      </span>
    </>
  )
}

/** A reason code or a sentence, as a sentence. */
export function sentence(text: string): string {
  const words = text.replaceAll('_', ' ').trim()
  const capital = words.charAt(0).toUpperCase() + words.slice(1)
  return /[.!?]$/.test(capital) ? capital : `${capital}.`
}
