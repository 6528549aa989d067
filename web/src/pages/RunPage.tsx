import { useState } from 'react'
import { query, queryClient } from '~/api/queries'
import { EnrolChecklist } from '~/components/EnrolChecklist'
import { EnrolCommand } from '~/components/EnrolCommand'
import { type TokenChoice, TokenForm } from '~/forms/TokenForm'
import { useMe } from '~/hooks/use-me'
import { hasRole } from '~/stores/session'
import { Button } from '~/ui/Button'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState } from '~/ui/states'

/** The token's id survives a reload; the token itself is shown once and kept nowhere. */
interface Started extends TokenChoice {
  tokenId: string
  expiresAt: string
}

const KEY = 'dgon.run'

function resume(): Started | null {
  try {
    const saved: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? 'null')
    return typeof saved === 'object' && saved !== null && 'tokenId' in saved ? (saved as Started) : null
  } catch {
    return null
  }
}

export function RunPage() {
  const me = useMe()
  const [started, setStarted] = useState(resume)
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
    sessionStorage.removeItem(KEY)
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
              sessionStorage.setItem(KEY, JSON.stringify(next))
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
    </>
  )
}
