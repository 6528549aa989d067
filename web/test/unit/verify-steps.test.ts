import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type Evidence, type StepResult, verdictOf, verifySteps } from '~/util/verify/steps'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const rawKey = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
const sha = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex')
const KEY_ID = createHash('sha256').update(rawKey).digest('hex').slice(0, 16)

/** Entry bytes of a receipt; the members here are written in canonical order. */
function entry(seq: number, prevHash: string): Uint8Array<ArrayBuffer> {
  const signed = `{"key_id":"${KEY_ID}","model_id":"m","node_id":"n1","prev_hash":"${prevHash}","request_id":"r_${seq}","seq":${seq},"tokens_input":1,"tokens_output":2,"ts_end":2,"ts_start":1,"version":"1.1"}`
  const signature = sign(null, Buffer.from(signed), privateKey).toString('base64')
  return new TextEncoder().encode(signed.replace('"tokens_input"', `"signature":"ed25519:${signature}","tokens_input"`))
}

const first = entry(1, `sha256:${'0'.repeat(64)}`)
const second = entry(2, `sha256:${sha(first)}`)
const third = entry(3, `sha256:${sha(second)}`)

const evidence = (change: Partial<Evidence> = {}): Evidence => ({
  bytes: second,
  entrySha256: sha(second),
  publicKey: `ed25519:${rawKey.toString('base64')}`,
  keyId: KEY_ID,
  keyValidFrom: null,
  nodeId: 'n1',
  neighbours: { before: first, after: third },
  ...change,
})

async function run(given: Evidence): Promise<Record<string, string>> {
  const results: StepResult[] = []
  for await (const result of verifySteps(given)) results.push(result)
  expect(results.map(({ id }) => id)).toEqual(['parse', 'canonical', 'hash', 'signature', 'key', 'chain'])
  return Object.fromEntries(results.map(({ id, state }) => [id, state]))
}

const ALL = { parse: 'pass', canonical: 'pass', hash: 'pass', signature: 'pass', key: 'pass', chain: 'pass' }

describe('each step stands alone', () => {
  test('a good receipt passes all six', async () => expect(await run(evidence())).toEqual(ALL))
  test('the first of a chain needs nothing before it', async () =>
    expect(await run(evidence({ bytes: first, entrySha256: sha(first), neighbours: { before: null, after: second } }))).toEqual(ALL))

  test('a flipped byte fails hash and signature', async () => {
    const bytes = new TextEncoder().encode(new TextDecoder().decode(second).replace('"tokens_output":2', '"tokens_output":3'))
    expect(await run(evidence({ bytes }))).toMatchObject({ parse: 'pass', hash: 'fail', signature: 'fail' })
  })

  test('white space fails the canonical form alone', async () => {
    const bytes = new TextEncoder().encode(new TextDecoder().decode(second).replace('{', '{ '))
    expect(await run(evidence({ bytes }))).toEqual({ ...ALL, canonical: 'fail' })
  })

  test('another key fails', async () => {
    const other = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
    expect(await run(evidence({ publicKey: `ed25519:${other.toString('base64')}` }))).toMatchObject({ hash: 'pass', signature: 'fail', key: 'fail' })
  })

  test('another receipt before it breaks the chain', async () =>
    expect(await run(evidence({ neighbours: { before: entry(1, `sha256:${'1'.repeat(64)}`), after: null } }))).toEqual({ ...ALL, chain: 'fail' }))
  test('a receipt after it that points elsewhere breaks the chain', async () =>
    expect(await run(evidence({ neighbours: { before: first, after: entry(3, `sha256:${'2'.repeat(64)}`) } }))).toEqual({ ...ALL, chain: 'fail' }))
  test('a missing neighbour is unknown, not wrong', async () =>
    expect(await run(evidence({ neighbours: { before: null, after: null } }))).toEqual({ ...ALL, chain: 'unknown' }))

  test('bytes that are no receipt fail the first step and leave the rest open', async () => {
    const result = await run(evidence({ bytes: new TextEncoder().encode('{"version":"1.1"}') }))
    expect(result).toEqual({ parse: 'fail', canonical: 'unknown', hash: 'unknown', signature: 'unknown', key: 'unknown', chain: 'unknown' })
  })

  test('a receipt of an unknown version is not judged', async () => {
    const bytes = new TextEncoder().encode(new TextDecoder().decode(second).replace('"version":"1.1"', '"version":"2.0"'))
    const results: StepResult[] = []
    for await (const result of verifySteps(evidence({ bytes }))) results.push(result)
    expect(new Set(results.map(({ state }) => state))).toEqual(new Set(['unknown']))
    expect(verdictOf(results)).toMatchObject({ verdict: 'unknown', because: expect.stringContaining('"2.0"') })
  })

  test('the verdict: a failure is invalid, an open chain still valid, another open step unchecked', () => {
    const all = (change: Partial<Record<string, StepResult['state']>>): StepResult[] =>
      (['parse', 'canonical', 'hash', 'signature', 'key', 'chain'] as const).map((id) => ({ id, state: change[id] ?? 'pass', detail: id }))
    expect(verdictOf(all({})).verdict).toBe('valid')
    expect(verdictOf(all({ chain: 'unknown' })).verdict).toBe('valid')
    expect(verdictOf(all({ key: 'unknown' }))).toEqual({ verdict: 'unknown', because: 'key' })
    expect(verdictOf(all({ hash: 'fail', key: 'unknown' })).verdict).toBe('invalid')
  })
})
