import { useNow } from '~/stores/clock'
import { live } from '~/stores/live'
import { useStore } from '~/stores/store'
import { parseTime, utcText } from '~/util/time'

const SOON_S = 300

/** How long the token is good for, counting down by the server's clock. */
export function ExpiryClock({ at }: { at: string }) {
  const now = useNow() + useStore(live).clockOffsetMs
  const end = parseTime(at)
  if (!end) return null
  const left = Math.max(0, Math.floor((end.getTime() - now) / 1000))
  const text = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`
  return (
    <p className={`expiry ${left === 0 ? 'expiry-over' : left < SOON_S ? 'expiry-soon' : ''}`} title={utcText(end)}>
      {left === 0 ? 'The token expired' : <>Token valid for <time dateTime={end.toISOString()}>{text}</time></>}
    </p>
  )
}
