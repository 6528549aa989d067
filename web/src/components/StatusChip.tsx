import type { NodeStatus, ReceiptStatus } from '~/api/types'
import { Unknown } from '~/ui/Unknown'

type Tone = 'grey' | 'green' | 'amber' | 'red' | 'primary'

interface Look {
  tone: Tone
  shape: string
  word: string
}

// Shape, word and colour: any one of them alone tells the state.
export const NODE_STATUS = {
  pending: { tone: 'grey', shape: 'M8 3.2a4.8 4.8 0 1 1 0 9.6 4.8 4.8 0 0 1 0-9.6z', word: 'Pending' },
  active: { tone: 'green', shape: 'M8 3.2a4.8 4.8 0 1 1 0 9.6 4.8 4.8 0 0 1 0-9.6z', word: 'Active' },
  quarantine: { tone: 'amber', shape: 'M8 2.2 13.8 8 8 13.8 2.2 8z', word: 'Quarantine' },
  offline: { tone: 'red', shape: 'M4 4l8 8M12 4l-8 8', word: 'Offline' },
} as const satisfies Record<NodeStatus, Look>

export const RECEIPT_STATUS = {
  ok: { tone: 'green', shape: 'M3.5 8.5l3 3 6-7', word: 'Ok' },
  error: { tone: 'red', shape: 'M4 4l8 8M12 4l-8 8', word: 'Error' },
  cancelled: { tone: 'grey', shape: 'M3.5 8h9', word: 'Cancelled' },
} as const satisfies Record<ReceiptStatus, Look>

/** Of accounts and organisations. */
const OPEN = { tone: 'green', shape: RECEIPT_STATUS.ok.shape, word: 'Open' } as const
const SHUT = { tone: 'grey', shape: NODE_STATUS.offline.shape } as const

const FILLED = new Set<string>([NODE_STATUS.active.word, NODE_STATUS.quarantine.word])

function Chip({ look }: { look: Look }) {
  return (
    <span className={`chip chip-${look.tone}`}>
      <svg width="10" height="10" viewBox="0 0 16 16" aria-hidden="true" className={FILLED.has(look.word) ? 'shape-filled' : 'shape-line'}>
        <path d={look.shape} />
      </svg>
      {look.word}
    </span>
  )
}

/** Open, or shut under the word for it. */
export const OpenChip = ({ shut, word = OPEN.word }: { shut: string | null; word?: string }) => <Chip look={shut ? { ...SHUT, word: shut } : { ...OPEN, word }} />

export const NodeStatusChip = ({ status }: { status: NodeStatus }) => <Chip look={NODE_STATUS[status]} />

const isKnown = (status: string): status is ReceiptStatus => status in RECEIPT_STATUS

/** A 1.0 receipt has no status: it says nothing, and neither does the console. A newer word is shown as it is. */
export function ReceiptStatusChip({ status }: { status: string | null | undefined }) {
  if (!status) return <Unknown why="This receipt form has no status" />
  return isKnown(status) ? <Chip look={RECEIPT_STATUS[status]} /> : <span className="chip chip-grey">{status}</span>
}
