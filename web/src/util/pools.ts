// What is said of private pools.

/** Whether those who may not see what is in a pool are told that it exists. */
export const EXISTENCE = {
  hidden: 'Hidden: to others nothing of it exists',
  listed: 'Listed: who asks for something of it by name is told that it exists',
} as const

export const existenceText = (policy: string): string => EXISTENCE[policy as keyof typeof EXISTENCE] ?? policy

/** `tier=gold, site=north`, as it is typed and shown. */
export const labelsText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ')

/** Reads what was typed; null where a part has no key. What a key and a value may be the server says. */
export function readLabels(text: string): Record<string, string> | null {
  const labels: Record<string, string> = {}
  for (const part of text.split(',')) {
    const pair = part.trim()
    if (!pair) continue
    const at = pair.indexOf('=')
    const key = (at === -1 ? pair : pair.slice(0, at)).trim()
    // A key that is there twice would lose one of its values unseen.
    if (!key || key in labels) return null
    labels[key] = at === -1 ? '' : pair.slice(at + 1).trim()
  }
  return labels
}
