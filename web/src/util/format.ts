// How numbers read on screen. Unknown is a dash, never 0.

export const DASH = '—'

type Maybe = number | null | undefined

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 })
const oneDigit = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 })
const upToOne = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 })
const upToTwo = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 })

export const count = (n: Maybe) => (typeof n === 'number' ? whole.format(n) : DASH)

const COMPACT_STEPS: [number, string][] = [
  [1e12, 'T'],
  [1e9, 'B'],
  [1e6, 'M'],
  [1e4, 'k'],
]

/** 1234567 as 1.23M; the exact figure belongs in a title beside it. */
export function compact(n: Maybe): string {
  if (typeof n !== 'number') return DASH
  const [size, unit] = COMPACT_STEPS.find(([step]) => Math.abs(n) >= step) ?? [1, '']
  if (unit === '') return whole.format(n)
  // 12345 shows as 12.3k: the step is 10,000 but the unit is a thousand.
  const scaled = n / (unit === 'k' ? 1e3 : size)
  return `${scaled >= 10 ? upToOne.format(scaled) : upToTwo.format(scaled)}${unit}`
}

const TEN_SECONDS_MS = 10_000

/** Latency: whole milliseconds below 10 s, then seconds. */
export function ms(n: Maybe): string {
  if (typeof n !== 'number') return DASH
  return n < TEN_SECONDS_MS ? `${whole.format(n)} ms` : `${oneDigit.format(n / 1000)} s`
}

/** A share of 1 in percent with one decimal, cut and not rounded, so that 99.97 never reads as 100. */
export function percent(share: Maybe): string {
  if (typeof share !== 'number') return DASH
  const tenths = Math.trunc(share * 1000 + 1e-9) / 10
  return `${tenths === 0 || tenths === 100 ? whole.format(tenths) : oneDigit.format(tenths)}%`
}

const MIB_PER_GIB = 1024
const BYTES_PER_GB = 1e9

export function memory(mib: Maybe): string {
  if (typeof mib !== 'number') return DASH
  return mib < MIB_PER_GIB ? `${whole.format(mib)} MiB` : `${upToOne.format(mib / MIB_PER_GIB)} GiB`
}

export const disk = (bytes: Maybe) => (typeof bytes === 'number' ? `${upToOne.format(bytes / BYTES_PER_GB)} GB` : DASH)

export const withUnit = (n: Maybe, unit: string) => (typeof n === 'number' ? `${upToOne.format(n)}${unit === '%' ? '' : ' '}${unit}` : DASH)

const DURATION_STEPS: [number, string][] = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's'],
]

/** A length of time in its two largest units. */
export function duration(seconds: Maybe): string {
  if (typeof seconds !== 'number') return DASH
  let rest = Math.max(0, Math.floor(seconds))
  const parts: string[] = []
  for (const [size, unit] of DURATION_STEPS) {
    const n = Math.floor(rest / size)
    rest -= n * size
    if (n > 0) parts.push(`${n} ${unit}`)
    if (parts.length === 2) break
  }
  return parts.length > 0 ? parts.join(' ') : '0 s'
}

export const yesNo = (value: boolean | null | undefined) => (typeof value === 'boolean' ? (value ? 'Yes' : 'No') : DASH)

export const plural = (n: number, one: string, many = `${one}s`) => `${whole.format(n)} ${n === 1 ? one : many}`

/** Change from `before` to `now` as a signed percentage; null where there is nothing to compare with. */
export function change(before: Maybe, now: Maybe): number | null {
  if (typeof before !== 'number' || typeof now !== 'number' || before === 0) return null
  return (now - before) / before
}

export function signedPercent(share: number): string {
  const text = whole.format(Math.abs(share * 100))
  if (text === '0') return '±0%'
  return `${share > 0 ? '+' : '−'}${text}%`
}
