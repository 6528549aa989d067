// Strict JSON over raw bytes, as the wire contract has it: no duplicate keys, no lone surrogates, only plain
// integers within 2^53-1, at most `maxDepth` levels. Keeps where each member stands, so that bytes are cut,
// never written again where they already are canonical. Canonical form: RFC 8785.

export type JsonValue =
  | { kind: 'null' }
  | { kind: 'bool'; value: boolean }
  | { kind: 'int'; text: string }
  | { kind: 'string'; value: string }
  | { kind: 'array'; items: JsonValue[] }
  | { kind: 'object'; members: JsonMember[] }

export interface JsonMember {
  key: string
  value: JsonValue
  /** Range in the text from the key's opening quote to the end of the value. */
  start: number
  end: number
}

export class StrictJsonError extends Error {}

const ESCAPES: Record<string, string> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }
const SHORT: Record<string, string> = { '"': '\\"', '\\': '\\\\', '\b': '\\b', '\t': '\\t', '\n': '\\n', '\f': '\\f', '\r': '\\r' }
const INTEGER = /-?(?:0|[1-9][0-9]*)/y
const SPACE = /[ \t\n\r]*/y
// Control characters are what JSON forbids inside a string.
// oxlint-disable-next-line no-control-regex
const PLAIN = /[^"\\\u0000-\u001f]*/y

/** A string with the shortest escapes. */
export function quote(text: string): string {
  // Control characters are exactly what JSON makes a writer escape.
  // oxlint-disable-next-line no-control-regex
  const inner = text.replaceAll(/["\\\u0000-\u001f]/g, (c) => SHORT[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return `"${inner}"`
}

/** The RFC 8785 text of a value; of an object without the top-level member `without`. */
export function canonical(value: JsonValue, without?: string): string {
  switch (value.kind) {
    case 'null':
      return 'null'
    case 'bool':
      return String(value.value)
    case 'int':
      return value.text
    case 'string':
      return quote(value.value)
    case 'array':
      return `[${value.items.map((item) => canonical(item)).join(',')}]`
    case 'object': {
      // Comparing strings in JavaScript is comparing UTF-16 code units, the order of RFC 8785.
      const members = value.members.filter(({ key }) => key !== without).toSorted((a, b) => (a.key < b.key ? -1 : 1))
      return `{${members.map((member) => `${quote(member.key)}:${canonical(member.value)}`).join(',')}}`
    }
  }
}

export interface StrictDocument {
  root: JsonValue
  text: string
  isCanonical: boolean
}

class Reader {
  at = 0
  depth = 0
  readonly text: string
  readonly maxDepth: number

  constructor(text: string, maxDepth: number) {
    this.text = text
    this.maxDepth = maxDepth
  }

  fail(what: string): never {
    throw new StrictJsonError(`${what} at character ${this.at}`)
  }

  take(pattern: RegExp): string {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)?.[0] ?? ''
    this.at += found.length
    return found
  }

  expect(character: string): void {
    if (this.text[this.at] !== character) this.fail('not JSON')
    this.at += 1
  }

  value(): JsonValue {
    const first = this.text[this.at] ?? ''
    if (first === '{') return this.nested(() => this.object())
    if (first === '[') return this.nested(() => this.array())
    if (first === '"') return { kind: 'string', value: this.string() }
    if (first === '-' || (first >= '0' && first <= '9')) return { kind: 'int', text: this.integer() }
    const words: [string, JsonValue][] = [
      ['true', { kind: 'bool', value: true }],
      ['false', { kind: 'bool', value: false }],
      ['null', { kind: 'null' }],
    ]
    const [word, value] = words.find(([candidate]) => this.text.startsWith(candidate, this.at)) ?? this.fail('not JSON')
    this.at += word.length
    return value
  }

  nested(read: () => JsonValue): JsonValue {
    if (this.depth === this.maxDepth) this.fail(`nested deeper than ${this.maxDepth} levels`)
    this.depth += 1
    this.at += 1
    this.take(SPACE)
    const value = read()
    this.depth -= 1
    return value
  }

  array(): JsonValue {
    const items: JsonValue[] = []
    if (this.text[this.at] === ']') {
      this.at += 1
      return { kind: 'array', items }
    }
    for (;;) {
      items.push(this.value())
      this.take(SPACE)
      if (this.text[this.at] === ']') {
        this.at += 1
        return { kind: 'array', items }
      }
      this.expect(',')
      this.take(SPACE)
    }
  }

  object(): JsonValue {
    const members: JsonMember[] = []
    const seen = new Set<string>()
    if (this.text[this.at] === '}') {
      this.at += 1
      return { kind: 'object', members }
    }
    for (;;) {
      const start = this.at
      if (this.text[this.at] !== '"') this.fail('not JSON')
      const key = this.string()
      if (seen.has(key)) this.fail(`the key ${quote(key)} occurs twice`)
      seen.add(key)
      this.take(SPACE)
      this.expect(':')
      this.take(SPACE)
      const value = this.value()
      members.push({ key, value, start, end: this.at })
      this.take(SPACE)
      if (this.text[this.at] === '}') {
        this.at += 1
        return { kind: 'object', members }
      }
      this.expect(',')
      this.take(SPACE)
    }
  }

  integer(): string {
    const digits = this.take(INTEGER)
    if (digits === '' || digits === '-' || digits === '-0' || /[0-9.eE+]/.test(this.text[this.at] ?? '')) {
      this.fail('a number that is not a plain integer')
    }
    if (digits.length > 17 || !Number.isSafeInteger(Number(digits))) this.fail('an integer beyond 2^53-1')
    return digits
  }

  string(): string {
    this.at += 1
    let out = ''
    for (;;) {
      out += this.take(PLAIN)
      const next = this.text[this.at]
      if (next === '"') {
        this.at += 1
        return out
      }
      if (next !== '\\') this.fail('not JSON')
      out += this.escape()
    }
  }

  escape(): string {
    const kind = this.text[this.at + 1] ?? ''
    this.at += 2
    if (kind !== 'u') return ESCAPES[kind] ?? this.fail('not JSON')
    const first = this.hex4()
    if (first < 0xd8_00 || first > 0xdf_ff) return String.fromCharCode(first)
    if (first > 0xdb_ff || !this.text.startsWith('\\u', this.at)) this.fail('a lone surrogate')
    this.at += 2
    const second = this.hex4()
    if (second < 0xdc_00 || second > 0xdf_ff) this.fail('a lone surrogate')
    return String.fromCharCode(first, second)
  }

  hex4(): number {
    const digits = this.text.slice(this.at, this.at + 4)
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail('not JSON')
    this.at += 4
    return Number.parseInt(digits, 16)
  }
}

/** Reads exactly one document. Throws StrictJsonError with the first thing that is wrong. */
export function parseStrict(bytes: Uint8Array, maxDepth: number): StrictDocument {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new StrictJsonError('not UTF-8')
  }
  if (text.startsWith('\uFEFF')) throw new StrictJsonError('a byte-order mark is not allowed')
  const reader = new Reader(text, maxDepth)
  reader.take(SPACE)
  const root = reader.value()
  reader.take(SPACE)
  if (reader.at !== text.length) reader.fail('more than one document')
  return { root, text, isCanonical: canonical(root) === text }
}
