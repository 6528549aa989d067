// What a row of the audit log changed, in a line.

type Facts = Record<string, unknown>

const isFacts = (value: unknown): value is Facts => typeof value === 'object' && value !== null && !Array.isArray(value)

const word = (value: unknown): string => (typeof value === 'string' ? value : value === null || value === undefined ? 'none' : JSON.stringify(value))

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
