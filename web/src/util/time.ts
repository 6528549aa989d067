// How times read on screen: always with their zone, relative only under a day.
import { prefs } from '~/stores/prefs'
import { DASH, duration } from '~/util/format'

const DAY_MS = 86_400_000

const zoneOption = () => (prefs.get().zone === 'utc' ? { timeZone: 'UTC' } : {})

const cache = new Map<string, Intl.DateTimeFormat>()

function formatter(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const full = { ...options, ...zoneOption() }
  const key = JSON.stringify(full)
  const made = cache.get(key) ?? new Intl.DateTimeFormat(undefined, full)
  cache.set(key, made)
  return made
}

const CLOCK: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short' }
const DATE: Intl.DateTimeFormatOptions = { year: 'numeric', month: 'short', day: 'numeric' }
const HOUR: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }

export const clock = (at: Date) => formatter(CLOCK).format(at)
export const hourOfDay = (at: Date) => formatter(HOUR).format(at)
export const dateAndClock = (at: Date) => `${formatter(DATE).format(at)}, ${clock(at)}`

/** The name of the zone that all times here are in, such as `CET`. */
export function zoneName(at = new Date()): string {
  return formatter(CLOCK).formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? 'UTC'
}

const DAY: Intl.DateTimeFormatOptions = { month: 'short', day: 'numeric' }
const MINUTE: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZoneName: 'short' }

/** The clock alone for today; the day and the minute before that; the year too where it is another. */
export function shortTime(at: Date, now: number): string {
  const day = (date: Date) => formatter(DATE).format(date)
  const year = (date: Date) => formatter({ year: 'numeric' }).format(date)
  if (day(at) === day(new Date(now))) return clock(at)
  const date = year(at) === year(new Date(now)) ? formatter(DAY).format(at) : day(at)
  return `${date}, ${formatter(MINUTE).format(at)}`
}

/** `4 s ago`; beyond a day the date says more than a count. */
export function ago(at: Date, now: number): string {
  const seconds = Math.floor((now - at.getTime()) / 1000)
  if (seconds < 1) return 'now'
  if (now - at.getTime() >= DAY_MS) return shortTime(at, now)
  const largest = duration(seconds).split(' ').slice(0, 2).join(' ')
  return `${largest} ago`
}

export function parseTime(text: string | null | undefined): Date | null {
  if (!text) return null
  const at = new Date(text)
  return Number.isNaN(at.getTime()) ? null : at
}

export const utcText = (at: Date) => at.toISOString().replace('T', ' ').replace('Z', ' UTC')

export const timeOrDash = (text: string | null | undefined) => {
  const at = parseTime(text)
  return at ? dateAndClock(at) : DASH
}
