import { useCallback, useEffect, useRef, useState } from 'react'
import { prependReceipts } from '~/api/live-patches'
import { query, queryClient } from '~/api/queries'
import { receiptArrivals } from '~/api/receipt-arrivals'
import type { Page, ReceiptRow } from '~/api/types'
import { RECEIPTS_PER_PAGE } from '~/util/filters'
import type { Search } from '~/util/path-builder'

const REFETCH_EVERY_MS = 2000
const SUM_EVERY_MS = 5000

interface Waiting {
  key: string
  rows: ReceiptRow[]
}

const NONE: ReceiptRow[] = []

/**
 * New receipts on the first page. While nobody points at the list they go on top; else they wait behind a bar,
 * so that no row moves under a hand. A filtered list asks the server, which knows what matches.
 */
export function useLiveReceipts(request: Search, isFiltered: boolean) {
  const isFirstPage = !request.cursor
  const [waiting, setWaiting] = useState<Waiting>({ key: '', rows: [] })
  const isPointed = useRef(false)
  const nextRefetch = useRef(0)
  const nextSum = useRef(0)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const key = JSON.stringify(request)

  const put = useCallback(
    (rows: ReceiptRow[]) => {
      const { queryKey } = query.receipts(JSON.parse(key) as Search)
      queryClient.setQueryData<Page<ReceiptRow>>(queryKey, (page) => page && prependReceipts(page, rows, RECEIPTS_PER_PAGE))
    },
    [key],
  )
  // What waited for another filter or page is not for this one.
  const held = waiting.key === key ? waiting.rows : NONE
  useEffect(() => {
    const { queryKey } = query.receipts(JSON.parse(key) as Search)
    const stop = receiptArrivals.listen((rows) => {
      const now = Date.now()
      if (now >= nextSum.current) {
        nextSum.current = now + SUM_EVERY_MS
        void queryClient.invalidateQueries({ queryKey: ['receipt-aggregate'] })
      }
      if (!isFirstPage) return
      if (isPointed.current || hasRowFocus()) setWaiting((was) => ({ key, rows: [...(was.key === key ? was.rows : NONE), ...rows].slice(-RECEIPTS_PER_PAGE) }))
      else if (!isFiltered) put(rows)
      else if (timer.current === undefined) {
        const wait = Math.max(0, nextRefetch.current - now)
        timer.current = setTimeout(() => {
          timer.current = undefined
          nextRefetch.current = Date.now() + REFETCH_EVERY_MS
          void queryClient.invalidateQueries({ queryKey })
        }, wait)
      }
    })
    return () => {
      stop()
      clearTimeout(timer.current)
      timer.current = undefined
    }
  }, [key, isFirstPage, isFiltered, put])

  const apply = useCallback(() => {
    if (isFiltered) void queryClient.invalidateQueries({ queryKey: query.receipts(JSON.parse(key) as Search).queryKey })
    else put(held)
    setWaiting({ key, rows: [] })
  }, [held, isFiltered, key, put])
  const onPointer = useCallback((isOver: boolean) => {
    isPointed.current = isOver
  }, [])
  return { heldCount: held.length, apply, onPointer }
}

const hasRowFocus = () => document.activeElement?.closest('[data-row-link]') !== null && document.activeElement !== null
