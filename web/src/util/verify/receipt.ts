// What makes bytes a receipt, and which of its bytes the signature covers. Mirrors protocol/src/receipt.
import { type JsonMember, type JsonValue, StrictJsonError, canonical, parseStrict } from '~/util/verify/strict-json'

const MAX_BYTES = 64 * 1024
const MAX_DEPTH = 32

export class ReceiptFormatError extends Error {}

/** A receipt of a form that this console does not know: neither good nor bad. */
export class UnknownVersionError extends ReceiptFormatError {}

const VERSIONS = new Set(['1.0', '1.1'])

export interface ParsedReceipt {
  version: '1.0' | '1.1'
  root: JsonValue
  /** Values of string and integer members, as text. */
  text: (name: string) => string | null
  signature: string
  /** Whether the bytes given already were the canonical ones. */
  isCanonical: boolean
  entryBytes: Uint8Array<ArrayBuffer>
  signedBytes: Uint8Array<ArrayBuffer>
}

type Rule = [what: string, holds: (value: JsonValue) => boolean]

const str = (value: JsonValue) => (value.kind === 'string' ? value.value : null)
const matches = (pattern: RegExp) => (value: JsonValue) => value.kind === 'string' && pattern.test(value.value)
const isInt = (value: JsonValue) => value.kind === 'int'
const isCount = (value: JsonValue) => value.kind === 'int' && !value.text.startsWith('-')

const INT: Rule = ['an integer', isInt]
const COUNT: Rule = ['an integer of 0 or more', isCount]
const BOOL: Rule = ['true or false', ({ kind }) => kind === 'bool']
const TEXT: Rule = ['a string', ({ kind }) => kind === 'string']
const SHA256: Rule = ['sha256: and 64 lower-case hex digits', matches(/^sha256:[0-9a-f]{64}$/)]
const BLAKE3: Rule = ['blake3: and 64 lower-case hex digits', matches(/^blake3:[0-9a-f]{64}$/)]

const REQUIRED: Record<string, Rule> = {
  version: ['"1.0" or "1.1"', matches(/^1\.[01]$/)],
  request_id: ['1 to 64 of A-Z a-z 0-9 . _ : -', matches(/^[A-Za-z0-9._:-]{1,64}$/)],
  node_id: ['a node id', matches(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/)],
  ts_start: INT,
  ts_end: INT,
  model_id: ['a string of 1 to 256 characters, none a control character', isLine(1, 256)],
  tokens_input: COUNT,
  tokens_output: COUNT,
  signature: TEXT,
}

const OPTIONAL: Record<string, Rule> = {
  region: ['a string of 0 to 64 characters, none a control character', isLine(0, 64)],
  model_hash: SHA256,
  prompt_hash: BLAKE3,
  p95_ms: INT,
  s3_checkpoints: ['an array of integers', (value) => value.kind === 'array' && value.items.every(isInt)],
  hedged: BOOL,
  cache_hit: BOOL,
}

const REQUIRED_V1_1: Record<string, Rule> = {
  seq: ['an integer of 1 or more', (value) => isCount(value) && value.kind === 'int' && value.text !== '0'],
  prev_hash: SHA256,
}

const OPTIONAL_V1_1: Record<string, Rule> = {
  status: ['ok, error or cancelled', matches(/^(?:ok|error|cancelled)$/)],
  ttft_ms: INT,
  latency_ms: INT,
  runtime: ['1 to 32 of a-z, 0-9, point, underscore and hyphen', matches(/^[a-z0-9._-]{1,32}$/)],
  source: ['local, gateway, probe or job', matches(/^(?:local|gateway|probe|job)$/)],
  tokens_cached: INT,
  output_hash: BLAKE3,
  energy_mwh: INT,
  order_hash: SHA256,
  key_id: ['16 lower-case hex digits', matches(/^[0-9a-f]{16}$/)],
}

/** A text of so many characters, none of them a control character. */
function isLine(least: number, most: number): (value: JsonValue) => boolean {
  return (value) => {
    const text = str(value)
    if (text === null || /\p{Cc}/u.test(text)) return false
    const characters = [...text].length
    return characters >= least && characters <= most
  }
}

function checkRules(members: Map<string, JsonValue>, rules: Record<string, Rule>, isRequired: boolean): void {
  for (const [name, [what, holds]] of Object.entries(rules)) {
    const value = members.get(name)
    if (!value && isRequired) throw new ReceiptFormatError(`the field ${name} is missing`)
    if (value && !holds(value)) throw new ReceiptFormatError(`the field ${name} must be ${what}`)
  }
}

function cutMember(text: string, members: JsonMember[], at: number): string {
  const [before, member, after] = [members[at - 1], members[at], members[at + 1]]
  if (!member) return text
  const start = after ? member.start : (before?.end ?? member.start)
  return text.slice(0, start) + text.slice(after ? after.start : member.end)
}

const encode = (text: string) => new TextEncoder().encode(text)

/** Reads bytes as a receipt. Throws ReceiptFormatError with the first rule that they break. */
export function parseReceipt(bytes: Uint8Array<ArrayBuffer>): ParsedReceipt {
  if (bytes.length > MAX_BYTES) throw new ReceiptFormatError(`a receipt has at most ${MAX_BYTES} bytes, this has ${bytes.length}`)
  const document = parseDocument(bytes)
  const { root, isCanonical } = document
  if (root.kind !== 'object') throw new ReceiptFormatError('a receipt is one JSON object')
  const members = new Map(root.members.map(({ key, value }) => [key, value]))
  const text = (name: string) => {
    const value = members.get(name)
    return value?.kind === 'int' ? value.text : value ? str(value) : null
  }
  const stated = members.get('version')
  if (stated?.kind === 'string' && !VERSIONS.has(stated.value)) {
    throw new UnknownVersionError(`version ${JSON.stringify(stated.value)} of receipts is not known to this console, which knows 1.0 and 1.1`)
  }
  checkRules(members, REQUIRED, true)
  checkRules(members, OPTIONAL, false)
  const version = text('version') === '1.1' ? '1.1' : '1.0'
  if (version === '1.1') {
    checkRules(members, REQUIRED_V1_1, true)
    checkRules(members, OPTIONAL_V1_1, false)
  }
  if (Number(text('ts_end')) < Number(text('ts_start'))) throw new ReceiptFormatError('the field ts_end must be not before ts_start')
  const at = root.members.findIndex(({ key }) => key === 'signature')
  const signed = isCanonical ? cutMember(document.text, root.members, at) : canonical(root, 'signature')
  return {
    version,
    root,
    text,
    signature: text('signature') ?? '',
    isCanonical,
    entryBytes: isCanonical ? bytes : encode(canonical(root)),
    signedBytes: encode(signed),
  }
}

function parseDocument(bytes: Uint8Array) {
  try {
    return parseStrict(bytes, MAX_DEPTH)
  } catch (error) {
    if (error instanceof StrictJsonError) throw new ReceiptFormatError(error.message)
    throw error
  }
}
