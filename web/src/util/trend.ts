import type { Series } from '~/api/types'
import { change } from '~/util/format'

const BUCKETS_PER_HOUR = 4

const known = (values: Series) => values.filter((value) => value !== null)
const sum = (values: Series) => known(values).reduce((total, value) => total + value, 0)

function mean(values: Series): number | null {
  const present = known(values)
  return present.length === 0 ? null : sum(values) / present.length
}

type Values = ArrayLike<number | null | undefined>

/** Places of measurements with none beside them: a line through one of them has no length. Null where there are none. */
export function lonePoints(values: Values): number[] | null {
  const isKnown = (i: number) => typeof values[i] === 'number'
  const lone = Array.from({ length: values.length }, (_, i) => i).filter((i) => isKnown(i) && !isKnown(i - 1) && !isKnown(i + 1))
  return lone.length > 0 ? lone : null
}

/** The last full hour against the hour before it; null where either has nothing to compare. */
export function hourlyChange(series: Series, kind: 'sum' | 'mean'): number | null {
  // The last bucket is still filling.
  const full = series.slice(0, -1)
  const [before, now] = [full.slice(-2 * BUCKETS_PER_HOUR, -BUCKETS_PER_HOUR), full.slice(-BUCKETS_PER_HOUR)]
  return kind === 'sum' ? change(sum(before), sum(now)) : change(mean(before), mean(now))
}
