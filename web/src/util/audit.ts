// What a row of the audit log changed, in a line; and what is asked for by what somebody types.
import type { Search } from '~/util/path-builder'

type Facts = Record<string, unknown>

const isFacts = (value: unknown): value is Facts => typeof value === 'object' && value !== null && !Array.isArray(value)

const isNothing = (value: unknown): boolean => value === null || value === undefined || value === '' || (Array.isArray(value) && value.length === 0)

function word(value: unknown): string {
  if (isNothing(value)) return 'none'
  if (typeof value === 'string') return value
  return Array.isArray(value) ? value.map(word).join(' and ') : JSON.stringify(value)
}

/** `status active → quarantine`: each field that is another; where none is, what there is. */
export function changes(before: unknown, after: unknown): string[] {
  const found = differences(before, after)
  return found.length > 0 ? found : differences(null, after)
}

function differences(before: unknown, after: unknown): string[] {
  if (before === null && after === null) return []
  if (!isFacts(before) && !isFacts(after)) return [before === null || before === undefined ? word(after) : `${word(before)} → ${word(after)}`]
  const [old, now] = [isFacts(before) ? before : {}, isFacts(after) ? after : {}]
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])]
  return names
    .filter((name) => word(old[name]) !== word(now[name]))
    .map((name) => {
      const label = name.replaceAll('_', ' ')
      if (!(name in old)) return `${label} ${word(now[name])}`
      return `${label} ${word(old[name])} → ${word(now[name])}`
    })
}

const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/
const PUBLIC_ID = /^(?<prefix>[a-z]+)_[0-9a-z]{16}$/
const KINDS: Record<string, string> = { u: 'user', o: 'org', pool: 'pool', s: 'session', et: 'enrolment_token' }

/** What is typed is an address, an action, an object or the id of a request. A name that says nothing of its kind is a node's. */
export function auditSearch(text: string): Search {
  const none: Search = { actor: undefined, object: undefined, action: undefined, request_id: undefined }
  if (!text) return none
  if (text.includes('@')) return { ...none, actor: text }
  if (text.startsWith('request:')) return { ...none, request_id: text.slice('request:'.length) }
  if (ULID.test(text)) return { ...none, request_id: text }
  if (/^[a-z_]+:/.test(text)) return { ...none, object: text }
  if (/^[a-z_]+\.[a-z_]+$/.test(text)) return { ...none, action: text }
  const kind = KINDS[PUBLIC_ID.exec(text)?.groups?.prefix ?? '']
  return { ...none, object: `${kind ?? 'node'}:${text}` }
}
