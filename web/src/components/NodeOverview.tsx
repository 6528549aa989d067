import type { NodeDetail } from '~/api/types'
import { type Fact, Facts } from '~/components/Facts'
import { NodePeople } from '~/components/NodePeople'
import { sentence } from '~/components/NodeView'
import { AppLink } from '~/ui/AppLink'
import { Time } from '~/ui/Time'
import { Unknown } from '~/ui/Unknown'
import { count, duration, ms, plural, withUnit, yesNo } from '~/util/format'
import { gpusNotRead } from '~/util/gpus'
import { path } from '~/util/path-builder'
import { WITHHELD } from '~/util/withheld'

function Models({ models }: { models: string[] }) {
  return (
    <ul className="plain-list">
      {models.map((model) => (
        <li key={model} className="mono break">
          {model}
        </li>
      ))}
    </ul>
  )
}

/** The runtimes that it told of; whether they are ready is known only while it is heard. */
function Runtimes({ node: { runtimes, connected } }: { node: NodeDetail }) {
  return (
    <ul className="plain-list">
      {runtimes.map(({ kind, version, ready }, at) => (
        <li key={at}>
          {kind} {version ?? ''} {connected && <span className="muted">{ready ? 'ready' : 'not ready'}</span>}
        </li>
      ))}
    </ul>
  )
}

function LastProbe({ node: { last_probe: probe, withheld } }: { node: NodeDetail }) {
  if (!probe) return <Unknown why={withheld ? WITHHELD : 'Not probed yet'} />
  return (
    <span>
      {sentence(probe.outcome)} {typeof probe.ttft_ms === 'number' ? `First token in ${ms(probe.ttft_ms)}. ` : ''}
      {probe.message && <span className="muted">{probe.message} </span>}
      <span className="muted">
        <Time at={probe.at} form="ago" />
      </span>
    </span>
  )
}

const PAUSED: Record<string, string> = {
  owner: 'by its owner',
  draining: 'draining',
  control_plane: 'by the control plane',
  control_plane_draining: 'drained by the control plane',
  machine_in_use: 'the machine is in use',
  quiet_hours: 'quiet hours',
  gpu_hot: 'a GPU is too hot',
  below_profit: "below the owner's profit",
}

function paused(heartbeat: NodeDetail['heartbeat']) {
  const why = PAUSED[heartbeat?.paused_reason ?? '']
  return heartbeat?.paused && why ? `Yes, ${why}` : yesNo(heartbeat?.paused)
}

export function NodeOverview({ node }: { node: NodeDetail }) {
  const { chain, models, runtimes } = node
  // What it said last is no word on how it is once it is not heard.
  const heartbeat = node.connected ? node.heartbeat : null
  const unheard = node.connected ? undefined : 'Not connected'
  const work: Fact[] = [
    ['Region', node.region],
    ['p95 first token', ms(node.p95_ms), 'No measurement in 24 h'],
    ['Requests, 24 h', count(node.requests_24h)],
    ['Models', models.length > 0 ? <Models key="models" models={models} /> : null, 'No model reported'],
    ['Runtimes', runtimes.length > 0 ? <Runtimes key="runtimes" node={node} /> : null, 'No runtime found'],
  ]
  const health: Fact[] = [
    ['Connected', yesNo(node.connected)],
    ['Last heartbeat', <Time key="at" at={node.last_heartbeat_at} form="ago" />],
    ['In flight', count(heartbeat?.in_flight), unheard],
    ['Queue', count(heartbeat?.queue), unheard],
    ['Spool', typeof heartbeat?.spool_depth === 'number' ? plural(heartbeat.spool_depth, 'receipt') : null, unheard],
    ['CPU', withUnit(heartbeat?.cpu_pct, '%'), unheard],
    ...(node.gpus_not_read ? [['GPUs', gpusNotRead(node.gpus_not_read)] satisfies Fact] : []),
    ['Agent up for', duration(heartbeat?.uptime_s), unheard],
    ['Paused', paused(heartbeat), unheard],
    ['Last probe', <LastProbe key="probe" node={node} />],
  ]
  const records: Fact[] = [
    ...(node.withheld ? [] : [['Organisation', node.org_name ?? node.org_id, 'It belongs to none'] satisfies Fact]),
    ...(node.pool ? [['Private pool', <AppLink key="pool" href={path.pool(node.pool.pool_id)}>{node.pool.name}</AppLink>] satisfies Fact] : []),
    ['Receipt chain', chain.head_seq > 0 ? `${plural(chain.head_seq, 'receipt')}, head #${count(chain.head_seq)}` : 'No receipt yet'],
    ['Gaps', chain.gaps.length === 0 ? 'None' : chain.gaps.map(({ from, to }) => (from === to ? `#${from}` : `#${from} to #${to}`)).join(', ')],
    ['Forks', chain.forks === 0 ? 'None' : plural(chain.forks, 'fork')],
    ['Enrolled', <Time key="at" at={node.enrolled_at} form="full" />],
    ['Agent', node.agent_version, node.withheld ? WITHHELD : undefined],
  ]
  return (
    <div className="fact-groups">
      <section>
        <h3>Work</h3>
        <Facts facts={work} />
      </section>
      <section>
        <h3>Health</h3>
        <Facts facts={health} />
      </section>
      <section>
        <h3>Record</h3>
        <Facts facts={records} />
      </section>
      {!node.withheld && <NodePeople node={node} />}
    </div>
  )
}
