// Times that lists begin at, counted from now.

const HOUR_MS = 3_600_000

/** Hours, and what they are called; none is any time. */
export const RANGES: readonly (readonly [string, string])[] = [
  ['', 'Any time'],
  ['1', 'Last hour'],
  ['24', 'Last 24 hours'],
  ['168', 'Last 7 days'],
]

/** When a range of so many hours began. */
export const rangeStart = (hours: string): string | undefined => (hours ? new Date(Date.now() - Number(hours) * HOUR_MS).toISOString() : undefined)
