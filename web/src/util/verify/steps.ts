// "Verify in this browser": six steps over the raw bytes, each with its own verdict.
import { sha256, verifyEd25519 } from '~/util/verify/crypto'
import { fromKeyText, toHex } from '~/util/verify/encoding'
import { type ParsedReceipt, ReceiptFormatError, UnknownVersionError, parseReceipt } from '~/util/verify/receipt'

export type StepId = 'parse' | 'canonical' | 'hash' | 'signature' | 'key' | 'chain'

export type StepState = 'pass' | 'fail' | 'unknown'

export interface StepResult {
  id: StepId
  state: StepState
  detail: string
}

export interface Evidence {
  bytes: Uint8Array<ArrayBuffer>
  /** What the control plane says of the receipt; each claim is checked, none is trusted. */
  entrySha256: string
  publicKey: string
  keyId: string
  keyValidFrom: string | null
  nodeId: string
  neighbours: { before: Uint8Array<ArrayBuffer> | null; after: Uint8Array<ArrayBuffer> | null }
}

const ZERO_HASH = `sha256:${'0'.repeat(64)}`

async function checkHash(receipt: ParsedReceipt, claimed: string): Promise<StepResult> {
  const found = toHex(await sha256(receipt.entryBytes))
  const isSame = found === claimed.replace(/^sha256:/, '')
  return { id: 'hash', state: isSame ? 'pass' : 'fail', detail: isSame ? `sha256:${found}` : `The bytes hash to ${found}, the control plane recorded ${claimed}` }
}

async function checkSignature(receipt: ParsedReceipt, publicKeyText: string): Promise<StepResult> {
  const signature = fromKeyText(receipt.signature, 64)
  const publicKey = fromKeyText(publicKeyText, 32)
  if (!publicKey) return { id: 'signature', state: 'fail', detail: 'The node key is not ed25519: and base64 of 32 bytes' }
  if (!signature) return { id: 'signature', state: 'fail', detail: 'The signature is not ed25519: and base64 of 64 bytes' }
  const start = performance.now()
  const { isValid, engine } = await verifyEd25519(publicKey, receipt.signedBytes, signature)
  const took = (performance.now() - start).toFixed(1)
  const detail = isValid ? `Ed25519 over ${receipt.signedBytes.length} bytes, ${engine}, ${took} ms` : `The signature does not hold under the node's key (${engine})`
  return { id: 'signature', state: isValid ? 'pass' : 'fail', detail }
}

async function checkKey(receipt: ParsedReceipt, { publicKey, keyId, keyValidFrom, nodeId }: Evidence): Promise<StepResult> {
  const fail = (detail: string): StepResult => ({ id: 'key', state: 'fail', detail })
  const bytes = fromKeyText(publicKey, 32)
  if (!bytes) return fail('The key cannot be read')
  const found = toHex((await sha256(bytes)).slice(0, 8))
  if (found !== keyId) return fail(`The key's id is ${found}, the control plane says ${keyId}`)
  const named = receipt.text('key_id')
  if (named !== null && named !== found) return fail(`The receipt names key ${named}, the node's key is ${found}`)
  if (receipt.text('node_id') !== nodeId) return fail(`The receipt is of node ${receipt.text('node_id') ?? '?'}, not of ${nodeId}`)
  return { id: 'key', state: 'pass', detail: `Key ${found} of ${nodeId}${keyValidFrom ? `, in use since ${keyValidFrom}` : ''}, as the control plane has it on record` }
}

async function checkChain(receipt: ParsedReceipt, { before, after }: Evidence['neighbours']): Promise<StepResult> {
  const result = (state: StepState, detail: string): StepResult => ({ id: 'chain', state, detail })
  const [seq, prev] = [receipt.text('seq'), receipt.text('prev_hash')]
  if (seq === null || prev === null) return result('unknown', 'A receipt of this form is not part of a chain')
  const said: string[] = []
  if (seq === '1') {
    if (prev !== ZERO_HASH) return result('fail', 'The first receipt of a chain must point at nothing')
    said.push('first of its chain')
  } else if (before) {
    const hash = `sha256:${toHex(await sha256(before))}`
    if (hash !== prev) return result('fail', `It points at ${prev}, but the receipt before it hashes to ${hash}`)
    said.push(`follows #${Number(seq) - 1}`)
  }
  if (after) {
    const hash = `sha256:${toHex(await sha256(receipt.entryBytes))}`
    const back = parseReceipt(after).text('prev_hash')
    if (back !== hash) return result('fail', `The receipt after it points at ${back ?? 'nothing'}, not at this one`)
    said.push(`#${Number(seq) + 1} points back at it`)
  }
  if (said.length === 0) return result('unknown', `#${seq}: the receipt before it is not here yet, so the link cannot be checked`)
  return result('pass', `#${seq}, ${said.join(', ')}`)
}

/** Runs the steps in order and yields each as it ends. What cannot be checked after a failure is unknown, not failed. */
export async function* verifySteps(evidence: Evidence): AsyncGenerator<StepResult> {
  let receipt: ParsedReceipt
  try {
    receipt = parseReceipt(evidence.bytes)
  } catch (error) {
    if (!(error instanceof ReceiptFormatError)) throw error
    const isUnknown = error instanceof UnknownVersionError
    yield isUnknown
      ? { id: 'parse', state: 'unknown', detail: `The ${error.message}. A newer console or dgon-agent may know it.` }
      : { id: 'parse', state: 'fail', detail: `Not a receipt: ${error.message}` }
    const rest: StepId[] = ['canonical', 'hash', 'signature', 'key', 'chain']
    for (const id of rest) yield { id, state: 'unknown', detail: isUnknown ? 'Not checked: the form of the receipt is not known' : 'Not checked: the bytes are not a receipt' }
    return
  }
  yield { id: 'parse', state: 'pass', detail: `${evidence.bytes.length} bytes, strict JSON, receipt version ${receipt.version}` }
  yield {
    id: 'canonical',
    state: receipt.isCanonical ? 'pass' : 'fail',
    detail: receipt.isCanonical ? 'The bytes are their own RFC 8785 form' : 'The bytes are not in RFC 8785 form, so they are not entry bytes',
  }
  yield await checkHash(receipt, evidence.entrySha256)
  yield await checkSignature(receipt, evidence.publicKey)
  yield await checkKey(receipt, evidence)
  yield await checkChain(receipt, evidence.neighbours)
}

export interface Verdict {
  verdict: 'valid' | 'invalid' | 'unknown'
  /** Why it could not be checked. */
  because: string
}

/** A place in the chain that is not known yet leaves a receipt valid; any other open step leaves it unchecked. */
export function verdictOf(results: StepResult[]): Verdict {
  if (results.some(({ state }) => state === 'fail')) return { verdict: 'invalid', because: '' }
  const open = results.find(({ id, state }) => state === 'unknown' && id !== 'chain')
  return open ? { verdict: 'unknown', because: open.detail } : { verdict: 'valid', because: '' }
}
