import type { ReceiptRow } from '~/api/types'

type Listener = (rows: ReceiptRow[]) => void

/** New receipts from the live socket, oldest first, for whoever shows a list of them. */
function createArrivals() {
  const listeners = new Set<Listener>()
  return {
    announce: (rows: ReceiptRow[]) => {
      for (const listener of listeners) listener(rows)
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
