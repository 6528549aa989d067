import type { ReceiptRow } from '~/api/types'

interface Listener {
  /** New receipts, oldest first. */
  onRows: (rows: ReceiptRow[]) => void
  /** Some came that the socket did not tell: the list must be read again. */
  onMissed: () => void
}

/** What the live socket says of receipts, for whoever shows a list of them. */
function createArrivals() {
  const listeners = new Set<Listener>()
  return {
    announce: (rows: ReceiptRow[]) => {
      for (const { onRows } of listeners) onRows(rows)
    },
    missed: () => {
      for (const { onMissed } of listeners) onMissed()
    },
    listen: (listener: Listener) => {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
  }
}

export const receiptArrivals = createArrivals()
