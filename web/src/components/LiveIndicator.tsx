import { useNow } from '~/stores/clock'
import { type LiveState, live } from '~/stores/live'
import { session } from '~/stores/session'
import { useStore } from '~/stores/store'
import { duration } from '~/util/format'

const LOOK: Record<LiveState | 'ended', { word: string; help: string }> = {
  connecting: { word: 'Connecting', help: 'Opening the live connection.' },
  live: { word: 'Live', help: 'Changes appear as they happen.' },
  reconnecting: { word: 'Reconnecting', help: 'The live connection dropped. What you see stays; it is being restored.' },
  polling: {
    word: 'Polling',
    help: 'No live connection: the page asks every 5 seconds. A reverse proxy in between must pass WebSocket upgrades for /api/v1/live.',
  },
  stale: { word: 'Stale', help: 'The control plane has not answered for a while. What you see is old.' },
  ended: { word: 'Signed out', help: 'Your session ended. What you see is from before; it goes on once you sign in again.' },
}

/** How fresh the page is, always in sight. */
export function LiveIndicator() {
  const { state: socket, heardAt } = useStore(live)
  // A socket that goes on without the session tells nothing of what is on screen.
  const state = useStore(session).kind === 'expired' ? 'ended' : socket
  const now = useNow()
  const { word, help } = LOOK[state]
  const age = heardAt === null || state === 'live' || state === 'ended' ? '' : ` · ${duration((now - heardAt) / 1000)} old`
  return (
    <p className={`live live-${state}`} title={help}>
      <span className="live-dot" aria-hidden="true" />
      <span role="status">{word}</span>
      {age && <span className="muted live-age">{age}</span>}
      <span className="sr-only">{help}</span>
    </p>
  )
}
