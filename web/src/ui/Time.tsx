import { live } from '~/stores/live'
import { useNow } from '~/stores/clock'
import { prefs } from '~/stores/prefs'
import { useStore } from '~/stores/store'
import { Unknown } from '~/ui/Unknown'
import { ago, dateAndClock, parseTime, shortTime, utcText } from '~/util/time'

interface Props {
  at: string | null | undefined
  /** `ago` for what renews itself, `short` for lists, `full` for records. */
  form?: 'ago' | 'short' | 'full'
  why?: string
}

export function Time({ at, form = 'short', why = 'Never' }: Props) {
  const now = useNow() + useStore(live).clockOffsetMs
  useStore(prefs)
  const date = parseTime(at)
  if (!date) return <Unknown why={why} />
  const text = form === 'ago' ? ago(date, now) : form === 'full' ? dateAndClock(date) : shortTime(date, now)
  return (
    <time className="nowrap" dateTime={date.toISOString()} title={`${utcText(date)} · ${ago(date, now)}`}>
      {text}
    </time>
  )
}
