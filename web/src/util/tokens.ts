// What the token counts of a receipt are worth. The receipt's node says it; `docs/receipts.md` has the list.
import type { ReceiptRow } from '~/api/types'

export type Counted = Pick<ReceiptRow, 'tokens_input' | 'tokens_output' | 'tokens_source'>

const SENTENCES = new Map([
  ['usage', 'The runtime counted them.'],
  ['partial_usage', 'The runtime counted them as far as it came: the answer broke off, or the work goes on behind it.'],
  ['chunks', 'An estimate: the runtime told no count, so the agent counted the pieces of the answer.'],
  ['unknown', 'Not counted: something was served, and the runtime did not say how much. It is not paid.'],
  ['unpaid', 'Not counted: this is work that nobody pays, such as counting tokens.'],
  ['none', 'Nothing was generated.'],
])

/** The source as a sentence; `null` where the receipt does not say. */
export function sourceSentence(source: string | null | undefined): string | null {
  return source ? (SENTENCES.get(source) ?? 'They were counted in a way that this version does not know.') : null
}

/** How a count reads: its number, a number that is estimated, no number because nobody knows it or because nobody pays. */
export function countKind({ tokens_source: source, tokens_input: input }: Counted, side: 'input' | 'output'): 'number' | 'estimate' | 'unknown' | 'unpaid' {
  if (source === 'unknown') return 'unknown'
  if (source === 'unpaid') return 'unpaid'
  if (source !== 'chunks') return 'number'
  if (side === 'output') return 'estimate'
  return input === 0 ? 'unknown' : 'number'
}

/** A sum of tokens; `null` where it is 0 only because nobody counted. */
export const tokenSum = (tokens: number, lackingReceipts: number) => (tokens === 0 && lackingReceipts > 0 ? null : tokens)

/** What a sum of tokens must say beside itself; `null` where it has everything. */
export function lackingText(receipts: number): string | null {
  if (receipts === 0) return null
  return receipts === 1 ? '1 receipt is not fully counted' : `${receipts.toLocaleString()} receipts are not fully counted`
}
