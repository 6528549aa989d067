// The honest states of a panel: loading, empty, filtered empty, failed. Each looks different from the others.
import { type ReactNode, useEffect, useState } from 'react'
import { ApiError, adviceFor, messageOf } from '~/api/errors'
import { Button } from '~/ui/Button'
import { CopyButton } from '~/ui/CopyButton'
import { Icon } from '~/ui/Icon'

const SHOW_AFTER_MS = 150
const STILL_AFTER_MS = 8000

/** Holds the final height from the first frame; shows itself only when the answer takes its time. */
export function Skeleton({ lines = 3, className = '', onRetry }: { lines?: number; className?: string; onRetry?: () => void }) {
  const [age, setAge] = useState<'new' | 'shown' | 'still'>('new')
  useEffect(() => {
    const timers = [setTimeout(() => setAge('shown'), SHOW_AFTER_MS), setTimeout(() => setAge('still'), STILL_AFTER_MS)]
    return () => timers.forEach(clearTimeout)
  }, [])
  return (
    <div className={`skeleton ${age === 'new' ? 'skeleton-hidden' : ''} ${className}`} aria-busy="true">
      {Array.from({ length: lines }, (_, i) => (
        <span key={i} className="skeleton-line" aria-hidden="true" />
      ))}
      <span className="sr-only" role="status">
        {age === 'new' ? '' : 'Loading'}
      </span>
      {age === 'still' && (
        <p className="skeleton-still">
          Still loading. {onRetry && <Button onClick={onRetry}>Retry</Button>}
        </p>
      )}
    </div>
  )
}

export function EmptyState({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="state">
      <p className="state-title">{title}</p>
      {children && <p className="muted">{children}</p>}
      {action && <div className="state-action">{action}</div>}
    </div>
  )
}

/** What failed, what it means, what to do, and the id under which the server's log has it. */
export function ErrorCard({ what, error, onRetry }: { what: string; error: unknown; onRetry?: () => void }) {
  const advice = adviceFor(error)
  const requestId = error instanceof ApiError ? error.requestId : null
  return (
    <div className="state state-error" role="alert">
      <p className="state-title">
        <Icon name="warning" /> Couldn't load {what}
      </p>
      <p>{messageOf(error)}</p>
      {advice && <p className="muted">{advice}</p>}
      <div className="state-action">
        {onRetry && (
          <Button icon="retry" onClick={onRetry}>
            Retry
          </Button>
        )}
        {requestId && (
          <span className="request-id">
            Request <code>{requestId}</code>
            <CopyButton isCompact text={requestId} what="request id" />
          </span>
        )}
      </div>
    </div>
  )
}

interface QueryLike<T> {
  data: T | undefined
  error: unknown
  isPending: boolean
  refetch: () => unknown
}

interface QueryStatesProps<T> {
  query: QueryLike<T>
  what: string
  skeleton: ReactNode
  children: (data: T) => ReactNode
}

/** Shows the data, old data before an error, an error before nothing. What is refused has no old data: the cache drops it. */
export function QueryStates<T>({ query, what, skeleton, children }: QueryStatesProps<T>) {
  if (query.data !== undefined) return children(query.data)
  if (query.error) return <ErrorCard what={what} error={query.error} onRetry={() => void query.refetch()} />
  return skeleton
}

/** Over old data whose refresh failed: the data stays, its failure is said. */
export function RefreshFailed({ query, what }: { query: QueryLike<unknown>; what: string }) {
  if (query.data === undefined || !query.error) return null
  return (
    <p className="notice notice-amber" role="status">
      <Icon name="warning" size={16} /> Couldn't refresh {what}; what you see is older. {messageOf(query.error)}{' '}
      <Button tone="quiet" onClick={() => void query.refetch()}>
        Retry
      </Button>
    </p>
  )
}
