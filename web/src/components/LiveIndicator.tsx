import { useNow } from '~/stores/clock'
import { type LiveState, live } from '~/stores/live'
import { useStore } from '~/stores/store'
import { duration } from '~/util/format'

const LOOK: Record<LiveState, { word: string; help: string }> = {
  connecting: { word: 'Connecting', help: 'Opening the live connection.' },
  live: { word: 'Live', help: 'Changes appear as they happen.' },
  reconnecting: { word: 'Reconnecting', help: 'The live connection dropped. What you see stays; it is being restored.' },
  polling: {
    word: 'Polling',
    help: 'No live connection: the page asks every 5 seconds. A reverse proxy in between must pass WebSocket upgrades for /api/v1/live.',
  },
  stale: { word: 'Stale', help: 'The control plane has not answered for a while. What you see is old.' },
}

/** How fresh the page is, always in sight. */
export function LiveIndicator() {
  const { state, heardAt } = useStore(live)
  const now = useNow()
  const { word, help } = LOOK[state]
  const age = heardAt === null || state === 'live' ? '' : ` · ${duration((now - heardAt) / 1000)} old`
  return (
    <p className={`live live-${state}`} title={help}>
      <span className="live-dot" aria-hidden="true" />
      <span role="status">{word}</span>
      {age && <span className="muted">{age}</span>}
      <span className="sr-only">{help}</span>
    </p>
  )
}
