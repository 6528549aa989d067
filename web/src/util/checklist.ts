// What a new node goes through, read from what the API says of its token and of itself.
import type { EnrolmentToken, NodeDetail } from '~/api/types'

export type CheckState = 'waiting' | 'ok' | 'failed'

export interface Check {
  id: 'registered' | 'connected' | 'heartbeat' | 'runtime' | 'probe' | 'receipt'
  title: string
  state: CheckState
  detail: string
  /** What to run, and what it should say, where this step does not come. */
  help: string
}

const DOCTOR = 'Run `dgon-agent doctor` on the machine'

export function checklist(token: EnrolmentToken | undefined, node: NodeDetail | undefined): Check[] {
  const nodeId = token?.used_by[0]
  const probe = node?.last_probe
  const isProbed = node?.status === 'active' || probe?.outcome === 'ok'
  const runtimes = node?.runtimes ?? []
  const isReady = runtimes.some(({ ready }) => ready)
  const state = (isOk: boolean, hasFailed = false): CheckState => (isOk ? 'ok' : hasFailed ? 'failed' : 'waiting')
  return [
    {
      id: 'registered',
      title: 'Registered',
      state: state(nodeId !== undefined),
      detail: nodeId ? `${nodeId}${node ? `, key ${node.key_id}: compare with \`dgon-agent key show\`` : ''}` : 'Waiting for the command to run',
      help: `${DOCTOR}; expect ok at \`network.connect\`. A token works until its clock runs out, once.`,
    },
    {
      id: 'connected',
      title: 'Connected',
      state: state(node?.connected === true),
      detail: node?.connected ? 'The link is open; no port had to be' : 'Waiting for `dgon-agent run`',
      help: `Is \`dgon-agent run\` still running? ${DOCTOR}; expect ok at \`agent.link\`.`,
    },
    {
      id: 'heartbeat',
      title: 'Heartbeat',
      state: state(Boolean(node?.last_heartbeat_at) && node?.late !== true, node?.late === true),
      detail: node?.last_heartbeat_at ? (node.late ? 'The last one is late' : 'Comes every 10 seconds') : 'Comes within 10 seconds of the connection',
      help: `${DOCTOR}; expect ok at \`clock.drift\`. A clock that is off by more than two minutes is refused.`,
    },
    {
      id: 'runtime',
      title: 'Runtime found',
      state: state(isReady),
      detail: isReady
        ? runtimes.map(({ kind, version }) => [kind, version].filter(Boolean).join(' ')).join(', ')
        : runtimes.length > 0
          ? `${runtimes.map(({ kind }) => kind).join(', ')}: not ready yet`
          : 'Looks for Ollama, vLLM, TGI, TensorRT-LLM and llama.cpp on their default ports',
      help: 'Run `dgon-agent runtimes`; expect one line per runtime. On another port? Name it in agent.yaml under runtimes.endpoints.',
    },
    {
      id: 'probe',
      title: 'Probe answered',
      state: state(isProbed, !isProbed && probe !== null && probe !== undefined),
      detail: isProbed ? 'The node serves: it is active' : (probe?.message ?? 'The control plane sends a short known prompt through the link'),
      help: 'Run `dgon-agent models`; expect at least one model. A probe repeats by itself.',
    },
    {
      id: 'receipt',
      title: 'First receipt',
      state: state((node?.receipts.length ?? 0) > 0),
      detail: node?.receipts[0]?.request_id ?? 'Send a request through the proxy at 127.0.0.1:11435',
      help: 'Point a client at http://127.0.0.1:11435 instead of the runtime itself, and ask it something.',
    },
  ]
}

/** The first step that is not done: the one that help is shown for. */
export const currentCheck = (checks: Check[]) => checks.find(({ state }) => state !== 'ok')
