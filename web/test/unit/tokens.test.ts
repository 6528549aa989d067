import { expect, test } from 'vitest'
import { gpusNotRead } from '~/util/gpus'
import { countKind, lackingText, sourceSentence, tokenSum } from '~/util/tokens'

const row = (source: string | null, input = 0) => ({ tokens_source: source, tokens_input: input, tokens_output: 7 })

test.each([
  [row('usage'), 'number', 'number'],
  [row('partial_usage', 3), 'number', 'number'],
  [row('none'), 'number', 'number'],
  [row('unknown'), 'unknown', 'unknown'],
  [row('unpaid'), 'unpaid', 'unpaid'],
  // The pieces of an answer were counted; the prompt only where the runtime told it.
  [row('chunks'), 'unknown', 'estimate'],
  [row('chunks', 3), 'number', 'estimate'],
  // An older agent does not say: its numbers stand as they are.
  [row(null), 'number', 'number'],
  [row('other'), 'number', 'number'],
])('%j reads as %s in and %s out', (counts, input, output) => {
  expect([countKind(counts, 'input'), countKind(counts, 'output')]).toEqual([input, output])
})

test('a source is a sentence, also one that is not known here; no source is none', () => {
  expect(sourceSentence('unknown')).toMatch(/^Not counted/)
  expect(sourceSentence('constructor')).toBe('They were counted in a way that this version does not know.')
  expect(sourceSentence(null)).toBeNull()
})

test('a sum says what it lacks, and nothing where it lacks nothing', () => {
  expect(lackingText(0)).toBeNull()
  expect([tokenSum(0, 0), tokenSum(0, 2), tokenSum(5, 2)]).toEqual([0, null, 5])
  expect(lackingText(1)).toBe('1 receipt is not fully counted')
  expect(lackingText(1200)).toBe('1,200 receipts are not fully counted')
})

test('a reason from a newer agent is told as one', () => {
  expect(gpusNotRead('released')).toContain('released by the owner')
  expect(gpusNotRead('no_answer')).toContain('not read in time')
  expect(gpusNotRead('leased')).toContain('not known to this version')
})
