import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { query } from '~/api/queries'
import { ExpiryClock } from '~/components/ExpiryClock'
import type { TokenChoice } from '~/forms/TokenForm'
import { Button } from '~/ui/Button'
import { CopyButton } from '~/ui/CopyButton'
import { ErrorCard, Skeleton } from '~/ui/states'
import { Tabs } from '~/ui/Tabs'
import { download } from '~/util/clipboard'
import { SYSTEMS, SYSTEM_NAMES, type System, enrolCommand, installCommand } from '~/util/install'

interface Props {
  started: TokenChoice & { tokenId: string; expiresAt: string }
  token: string | null
  onAgain: () => void
}

const YAML_LINES = 8

/** What to run on the machine. The token in it works from the moment it is shown. */
export function EnrolCommand({ started, token, onAgain }: Props) {
  const [system, setSystem] = useState(started.system)
  const tokens = useQuery(query.tokens())
  const isRevoked = tokens.data?.some(({ id, revoked_at: at }) => id === started.tokenId && Boolean(at))
  return (
    <section className="panel" aria-labelledby="command-title">
      <div className="panel-head">
        <h2 id="command-title">The command</h2>
        {isRevoked ? <p className="expiry expiry-over">The token was revoked</p> : <ExpiryClock at={started.expiresAt} />}
      </div>
      {token === null ? (
        <div className="notice">
          <p>The token was shown once and is not kept. If the command has not run yet, make a new one.</p>
          <Button onClick={onAgain}>Make a new command</Button>
        </div>
      ) : (
        <Tabs label="Operating system" tabs={SYSTEMS.map((id) => ({ id, title: SYSTEM_NAMES[id] }))} selected={system} onSelect={setSystem}>
          <Command text={enrolCommand(system, { origin: location.origin, token, region: started.region, nodeId: started.nodeId })} />
        </Tabs>
      )}
      <Installation system={system} />
      <p className="muted small">The token enrols one machine, once.</p>
      <AgentYaml started={started} />
    </section>
  )
}

/** How the program gets there: by one command where this control plane offers packages. */
function Installation({ system }: { system: System }) {
  const packages = useQuery(query.downloads())
  const hasPackage = system !== 'windows' && packages.data?.items.some((one) => one.kind.includes(system) || (system === 'linux' && one.kind.endsWith('.deb')))
  if (!hasPackage) {
    return (
      <p className="muted small">
        <code>dgon-agent</code> is one file: put it on the path of the machine first.
      </p>
    )
  }
  return (
    <>
      <p className="muted small">
        Is <code>dgon-agent</code> not on the machine yet? This installs it, and refuses what is not the package of this control plane:
      </p>
      <Command text={installCommand(location.origin)} label="Installation" />
    </>
  )
}

function Command({ text, label = 'Command' }: { text: string; label?: string }) {
  return (
    <div className="command">
      <pre tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <CopyButton text={text} what={label.toLowerCase()} />
    </div>
  )
}

/** Optional: the same settings as a file, for a service. Holds no secret. */
function AgentYaml({ started }: { started: TokenChoice }) {
  const [isOpen, setOpen] = useState(false)
  const yaml = useQuery({ ...query.agentYaml({ region: started.region, node_id: started.nodeId }), enabled: isOpen })
  return (
    <details className="twin" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>agent.yaml for this machine</summary>
      {yaml.data !== undefined ? (
        <div className="command">
          <pre tabIndex={0} aria-label="agent.yaml">
            {yaml.data}
          </pre>
          <span className="panel-tools">
            <CopyButton text={yaml.data} what="agent.yaml" />
            <Button icon="download" onClick={() => download('agent.yaml', yaml.data, 'application/yaml')}>
              Download
            </Button>
          </span>
        </div>
      ) : yaml.error ? (
        <ErrorCard what="agent.yaml" error={yaml.error} onRetry={() => void yaml.refetch()} />
      ) : (
        <Skeleton lines={YAML_LINES} />
      )}
      <p className="muted small">
        Not needed for a first try: the command is enough. Use it with <code>dgon-agent --config agent.yaml run</code>; it holds no secret.
      </p>
    </details>
  )
}
