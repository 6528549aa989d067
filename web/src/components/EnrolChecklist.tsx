import { useQuery } from '@tanstack/react-query'
import { Fragment, useEffect, useState } from 'react'
import { query } from '~/api/queries'
import { useNow } from '~/stores/clock'
import { live } from '~/stores/live'
import { useStore } from '~/stores/store'
import { AppLink } from '~/ui/AppLink'
import { Icon } from '~/ui/Icon'
import { RefreshFailed } from '~/ui/states'
import { type Check, checklist, currentCheck } from '~/util/checklist'
import { path } from '~/util/path-builder'

const ASK_EVERY_MS = 2000
const ASK_SLOWLY_MS = 10_000
const HELP_AFTER_MS = 60_000

const WORDS: Record<Check['state'], string> = { ok: 'done', waiting: 'waiting', failed: 'failed' }

/** Follows the new node from its token to its first receipt. */
export function EnrolChecklist({ tokenId, expiresAt }: { tokenId: string; expiresAt: string }) {
  const tokens = useQuery({ ...query.tokens(), refetchInterval: ({ state }) => (state.data?.some(({ id, used_by: used }) => id === tokenId && used.length > 0) ? false : ASK_EVERY_MS) })
  const token = tokens.data?.find(({ id }) => id === tokenId)
  const nodeId = token?.used_by[0]
  const node = useQuery({
    ...query.node(nodeId ?? ''),
    enabled: nodeId !== undefined,
    // The socket patches most of it; models, probe and receipts come with the next answer.
    refetchInterval: ({ state }) => ((state.data?.receipts.length ?? 0) > 0 ? ASK_SLOWLY_MS : ASK_EVERY_MS),
  })
  const checks = checklist(token, node.data)
  const current = currentCheck(checks)
  const now = useNow() + useStore(live).clockOffsetMs
  const isOverdue = useOverdue(current?.id)
  const isRevoked = nodeId === undefined && Boolean(token?.revoked_at)
  const isExpired = nodeId === undefined && !isRevoked && Date.parse(expiresAt) < now
  return (
    <section className="panel" aria-labelledby="checklist-title">
      <div className="panel-head">
        <h2 id="checklist-title">What happens</h2>
      </div>
      <RefreshFailed query={tokens} what="the token" />
      <ol className="steps" aria-live="polite">
        {checks.map((check) => (
          <li key={check.id} className={`step step-${check.state === 'ok' ? 'pass' : check.state === 'failed' ? 'fail' : check === current ? 'current' : 'waiting'}`} data-step={check.id} data-state={check.state}>
            <span className="step-mark">{check.state === 'ok' ? <Icon name="check" size={14} /> : check.state === 'failed' ? <Icon name="cross" size={14} /> : null}</span>
            <div>
              <p className="step-title">
                {check.title}
                <span className="sr-only">: {WORDS[check.state]}</span>
              </p>
              <p className="step-detail">
                {check.id === 'receipt' && check.state === 'ok' ? (
                  <AppLink href={path.receipt(check.detail, nodeId)} className="mono">
                    {check.detail}
                  </AppLink>
                ) : (
                  <Marked text={check.detail} />
                )}
              </p>
              {check === current && (isOverdue || check.state === 'failed') && (
                <p className="notice notice-amber">
                  <span>
                    Nothing heard yet. <Marked text={check.help} />
                  </span>
                </p>
              )}
            </div>
          </li>
        ))}
      </ol>
      {isRevoked && <p className="notice notice-amber">The token was revoked: nothing enrols with it. Make a new command.</p>}
      {isExpired && <p className="notice notice-amber">The token expired unused. Make a new command.</p>}
      {!current && nodeId && (
        <p className="notice notice-green">
          <Icon name="check" size={16} />
          <span>
            Your node works. <AppLink href={path.node(nodeId)}>Open {nodeId}</AppLink>
          </span>
        </p>
      )}
    </section>
  )
}

/** True once the same step has been waited for a minute. */
function useOverdue(step: string | undefined): boolean {
  const [overdue, setOverdue] = useState<string | undefined>()
  useEffect(() => {
    const timer = setTimeout(() => setOverdue(step), HELP_AFTER_MS)
    return () => clearTimeout(timer)
  }, [step])
  return overdue !== undefined && overdue === step
}

/** Text whose `parts` are code. */
function Marked({ text }: { text: string }) {
  return text.split('`').map((part, i) => (
    // The text never changes its order.
    // oxlint-disable-next-line no-array-index-key
    <Fragment key={i}>{i % 2 === 1 ? <code>{part}</code> : part}</Fragment>
  ))
}
