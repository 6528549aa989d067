// A receipt's name: a request id is unique within its node alone.
import type { ReceiptRow } from '~/api/types'

/**
 * Names a receipt among all of them, and the place of the list after it: the server takes it for a page's cursor. Neither
 * part can have the slash.
 */
export const receiptName = (row: Pick<ReceiptRow, 'node_id' | 'request_id'>): string => `${row.node_id}/${row.request_id}`
