import { lonePoints } from '~/util/trend'

interface Props {
  values: (number | null)[]
  label: string
}

const WIDTH = 240
const HEIGHT = 40
const PAD = 2

/** A line without axes. Gaps stay gaps: what was not measured is not drawn. */
export function Sparkline({ values, label }: Props) {
  const known = values.filter((value) => value !== null)
  const max = Math.max(...known, 0)
  const step = WIDTH / Math.max(1, values.length - 1)
  const y = (value: number) => (max === 0 ? HEIGHT - PAD : HEIGHT - PAD - (value / max) * (HEIGHT - 2 * PAD))
  const lone = new Set(lonePoints(values))
  let path = ''
  let points = ''
  let isDrawing = false
  values.forEach((value, i) => {
    if (value === null) {
      isDrawing = false
      return
    }
    const at = `${(i * step).toFixed(1)} ${y(value).toFixed(1)}`
    // A lone measurement has no line to be on: the round ends of no length are a point.
    if (lone.has(i)) points += `M${at}h.01`
    else path += `${isDrawing ? 'L' : 'M'}${at}`
    isDrawing = true
  })
  return (
    <svg className="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <path className="sparkline-base" d={`M0 ${HEIGHT - 0.5}H${WIDTH}`} />
      {path && <path className="sparkline-line" d={path} />}
      {points && <path className="sparkline-line sparkline-points" d={points} />}
    </svg>
  )
}
