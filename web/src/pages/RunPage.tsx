import { useState } from 'react'
import { query, queryClient } from '~/api/queries'
import { EnrolChecklist } from '~/components/EnrolChecklist'
import { EnrolCommand } from '~/components/EnrolCommand'
import { EnrolTokens } from '~/components/EnrolTokens'
import { TokenForm } from '~/forms/TokenForm'
import { useMe } from '~/hooks/use-me'
import { hasRole } from '~/stores/session'
import { forgetStarted, keepStarted, readStarted } from '~/stores/started'
import { Button } from '~/ui/Button'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState } from '~/ui/states'

export function RunPage() {
  const me = useMe()
  const [started, setStarted] = useState(readStarted)
  const [secret, setSecret] = useState<string | null>(null)
  if (!hasRole(me, 'admin', 'operator')) {
    return (
      <>
        <PageHeading title="Run a node" />
        <section className="panel">
          <EmptyState title="Your account may not enrol nodes">An admin can give you the role of an operator.</EmptyState>
        </section>
      </>
    )
  }
  const startOver = () => {
    forgetStarted()
    setStarted(null)
    setSecret(null)
  }
  return (
    <>
      <PageHeading title="Run a node" lead="One command on a machine with an LLM runtime. No open port, no account on the machine.">
        {started && <Button onClick={startOver}>Another node</Button>}
      </PageHeading>
      {!started && (
        <section className="panel run-form" aria-labelledby="machine-title">
          <div className="panel-head">
            <h2 id="machine-title">The machine</h2>
          </div>
          <TokenForm
            onMade={(made, choice) => {
              const next = { ...choice, tokenId: made.id, expiresAt: made.expires_at }
              keepStarted(next)
              setSecret(made.token)
              setStarted(next)
              void queryClient.invalidateQueries({ queryKey: query.tokens().queryKey })
            }}
          />
        </section>
      )}
      {started && (
        <div className="run-grid">
          <EnrolCommand started={started} token={secret} onAgain={startOver} />
          <EnrolChecklist tokenId={started.tokenId} expiresAt={started.expiresAt} />
        </div>
      )}
      {/* A command whose token was just revoked is none to run. */}
      <EnrolTokens onRevoked={(id) => id === started?.tokenId && startOver()} />
    </>
  )
}
