import { describe, expect, it } from 'vitest'
import { prependReceipts } from '~/api/live-patches'
import type { Page, ReceiptRow } from '~/api/types'

const rows = (...ids: string[]) => ids.map((id) => ({ node_id: 'n', request_id: id }) as ReceiptRow)
const page = (next: string | null, ...ids: string[]): Page<ReceiptRow> => ({ items: rows(...ids), next_cursor: next, total: null })
const shown = ({ items }: Page<ReceiptRow>) => items.map((row) => row.request_id)

describe('receipts that arrive on the first page', () => {
  it('push rows off, and the next page begins with those', () => {
    const after = prependReceipts(page('b', 'c', 'b'), rows('d', 'e'), 2)
    expect(shown(after)).toEqual(['e', 'd'])
    expect(after.next_cursor).toBe('n/d')
  })

  it('leave the next page as it was while all have room', () => {
    expect(prependReceipts(page(null, 'a'), rows('b'), 2).next_cursor).toBeNull()
    expect(prependReceipts(page('a', 'b', 'a'), rows('a', 'b'), 2).next_cursor).toBe('a')
  })

  it('make a second page of what was one', () => {
    const after = prependReceipts(page(null, 'b', 'a'), rows('c'), 2)
    expect([shown(after), after.next_cursor]).toEqual([['c', 'b'], 'n/b'])
  })

  it('are others than those of another node with the same id', () => {
    const foreign = { node_id: 'other', request_id: 'b' } as ReceiptRow
    expect(shown(prependReceipts(page('n/a', 'b', 'a'), [...rows('c'), foreign], 9))).toEqual(['b', 'c', 'b', 'a'])
  })

  it('that are told after the list was read put no old row on top', () => {
    expect(shown(prependReceipts(page('c', 'd', 'c'), rows('a', 'b', 'c', 'd', 'e'), 2))).toEqual(['e', 'd'])
  })
})
