import { useCallback, useEffect, useRef, useState } from 'react'
import { prependReceipts } from '~/api/live-patches'
import { query, queryClient, readReceipts } from '~/api/queries'
import { receiptArrivals } from '~/api/receipt-arrivals'
import { receiptName } from '~/api/receipts'
import type { Page, ReceiptRow } from '~/api/types'
import { RECEIPTS_PER_PAGE } from '~/util/filters'
import type { Search } from '~/util/path-builder'

const REFETCH_EVERY_MS = 2000
const SUM_EVERY_MS = 5000

interface Waiting {
  key: string
  /** Oldest first. */
  rows: ReceiptRow[]
  /** Some of them belong between rows that are shown: to show them is to read the list again. */
  isBehind: boolean
}

const NONE: Waiting = { key: '', rows: [], isBehind: false }

/**
 * New receipts on the first page. While nobody points at the list they go on top; else they wait behind a bar,
 * so that no row moves under a hand. A filtered list asks the server, which knows what matches.
 */
export function useLiveReceipts(request: Search, isFiltered: boolean) {
  const isFirstPage = !request.cursor
  const [waiting, setWaiting] = useState(NONE)
  const latest = useRef(NONE)
  const isPointed = useRef(false)
  const nextRefetch = useRef(0)
  const nextSum = useRef(0)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const key = JSON.stringify(request)

  const wait = useCallback((next: Waiting) => {
    latest.current = next
    setWaiting(next)
  }, [])
  /** Shows what waits, and `rows` after it. */
  const show = useCallback(
    (rows: ReceiptRow[]) => {
      const { queryKey } = query.receipts(JSON.parse(key) as Search)
      const held = latest.current.key === key ? latest.current : NONE
      if (isFiltered || held.isBehind) void queryClient.invalidateQueries({ queryKey, exact: true })
      else queryClient.setQueryData<Page<ReceiptRow>>(queryKey, (page) => page && prependReceipts(page, [...held.rows, ...rows], RECEIPTS_PER_PAGE))
      if (latest.current !== NONE) wait(NONE)
    },
    [isFiltered, key, wait],
  )

  useEffect(() => {
    const search = JSON.parse(key) as Search
    const { queryKey } = query.receipts(search)
    let reading = 0
    const onRows = (rows: ReceiptRow[]) => {
      const now = Date.now()
      if (now >= nextSum.current) {
        nextSum.current = now + SUM_EVERY_MS
        void queryClient.invalidateQueries({ queryKey: ['receipt-aggregate'] })
      }
      if (!isFirstPage) return
      if (isPointed.current || hasRowFocus()) {
        // What waited for another filter or page is not for this one.
        const { rows: held, isBehind } = latest.current.key === key ? latest.current : NONE
        wait({ key, rows: [...held, ...rows].slice(-RECEIPTS_PER_PAGE), isBehind })
      } else if (!isFiltered) show(rows)
      else if (timer.current === undefined) {
        timer.current = setTimeout(() => {
          timer.current = undefined
          nextRefetch.current = Date.now() + REFETCH_EVERY_MS
          show([])
        }, Math.max(0, nextRefetch.current - now))
      }
    }
    const readAgain = async () => {
      reading += 1
      const mine = reading
      // The first answer may have been made before the socket heard; without it there is nothing to put rows on.
      await queryClient.getQueryCache().find({ queryKey, exact: true })?.promise?.catch(() => undefined)
      const answer = await readReceipts(search)
      if (mine !== reading) return
      const shown = queryClient.getQueryData<Page<ReceiptRow>>(queryKey)
      if (!shown || !(isPointed.current || hasRowFocus())) {
        queryClient.setQueryData(queryKey, answer)
        wait(NONE)
        return
      }
      const known = new Set(shown.items.map(receiptName))
      const rows = answer.items.filter((row) => !known.has(receiptName(row))).toReversed()
      if (rows.length > 0) wait({ key, rows, isBehind: true })
    }
    const onMissed = () => {
      const ask = () => void queryClient.invalidateQueries({ queryKey, exact: true })
      if (isFirstPage) readAgain().catch(ask)
      else ask()
    }
    const stop = receiptArrivals.listen({ onRows, onMissed })
    return () => {
      stop()
      reading = -1
      clearTimeout(timer.current)
      timer.current = undefined
    }
  }, [key, isFirstPage, isFiltered, show, wait])

  const apply = useCallback(() => show([]), [show])
  const onPointer = useCallback((isOver: boolean) => {
    isPointed.current = isOver
  }, [])
  return { heldCount: waiting.key === key ? waiting.rows.length : 0, apply, onPointer }
}

const hasRowFocus = () => document.activeElement?.closest('[data-row-link]') !== null && document.activeElement !== null
