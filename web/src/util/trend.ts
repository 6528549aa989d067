import type { Series } from '~/api/types'
import { change } from '~/util/format'

const BUCKETS_PER_HOUR = 4

const known = (values: Series) => values.filter((value) => value !== null)
const sum = (values: Series) => known(values).reduce((total, value) => total + value, 0)

function mean(values: Series): number | null {
  const present = known(values)
  return present.length === 0 ? null : sum(values) / present.length
}

/** The last full hour against the hour before it; null where either has nothing to compare. */
export function hourlyChange(series: Series, kind: 'sum' | 'mean'): number | null {
  // The last bucket is still filling.
  const full = series.slice(0, -1)
  const [before, now] = [full.slice(-2 * BUCKETS_PER_HOUR, -BUCKETS_PER_HOUR), full.slice(-BUCKETS_PER_HOUR)]
  return kind === 'sum' ? change(sum(before), sum(now)) : change(mean(before), mean(now))
}
