import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { ed25519 } from '@noble/curves/ed25519.js'
import { hasSmallOrder, sha256 } from '~/util/verify/crypto'
import { toHex } from '~/util/verify/encoding'
import { parseReceipt } from '~/util/verify/receipt'
import { verdictOf } from '~/util/verify/verdict'

interface Vector {
  name: string
  public_key: string
  receipt_b64: string
  verdict: string
  canonical_b64?: string
  entry_sha256?: string
}

const vectors = readFileSync(new URL('../../../protocol/tests/data/receipts.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Vector)

const bytesOf = (vector: Vector) => Uint8Array.from(Buffer.from(vector.receipt_b64, 'base64'))

afterEach(() => vi.unstubAllGlobals())

test('the file is whole', () => {
  expect(vectors.length).toBeGreaterThanOrEqual(90)
  expect(new Set(vectors.map(({ verdict }) => verdict))).toEqual(new Set(['valid', 'invalid_signature', 'invalid_receipt']))
})

describe('every vector reaches its verdict', () => {
  test.each(vectors.map((vector) => [vector.name, vector] as const))('%s, by WebCrypto', async (_, vector) => {
    expect(await verdictOf(bytesOf(vector), vector.public_key)).toBe(vector.verdict)
  })

  test.each(vectors.map((vector) => [vector.name, vector] as const))('%s, by the fallback of plain http', async (_, vector) => {
    vi.stubGlobal('crypto', {})
    expect(await verdictOf(bytesOf(vector), vector.public_key)).toBe(vector.verdict)
  })
})

test.each(vectors.filter(({ verdict }) => verdict === 'valid').map((vector) => [vector.name, vector] as const))(
  '%s has the signed bytes and entry hash of other implementations',
  async (_, vector) => {
    const receipt = parseReceipt(bytesOf(vector))
    expect(Buffer.from(receipt.signedBytes).toString('base64')).toBe(vector.canonical_b64)
    expect(toHex(await sha256(receipt.entryBytes))).toBe(vector.entry_sha256)
    // Entry bytes are their own fixed point, by the way that cuts instead of writing.
    const again = parseReceipt(receipt.entryBytes)
    expect(again.isCanonical).toBe(true)
    expect(again.signedBytes).toEqual(receipt.signedBytes)
  },
)

test('any one flipped bit of a valid receipt is noticed', async () => {
  const vector = vectors.find(({ verdict }) => verdict === 'valid')
  if (!vector) throw new Error('no valid vector')
  const { entryBytes } = parseReceipt(bytesOf(vector))
  for (let at = 0; at < entryBytes.length; at += 7) {
    const flipped = entryBytes.slice()
    flipped[at] = (flipped[at] ?? 0) ^ 1
    // oxlint-disable-next-line no-await-in-loop
    expect(await verdictOf(flipped, vector.public_key), `byte ${at}`).not.toBe('valid')
  }
})

test('the list of small orders is the one that the curve has', () => {
  const torsion = ed25519.Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', true)
  let point = torsion
  for (let i = 0; i < 8; i += 1) {
    expect(hasSmallOrder(point.toBytes()), `${i + 1} times the generator`).toBe(true)
    point = point.add(torsion)
  }
  expect(hasSmallOrder(ed25519.Point.BASE.toBytes())).toBe(false)
})
