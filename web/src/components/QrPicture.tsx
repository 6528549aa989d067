import { QUIET_MODULES, qrOf } from '~/util/qr'

/** A text as a picture for the camera of a phone: dark on light whatever the theme, since not all read the reverse. */
export function QrPicture({ text, label }: { text: string; label: string }) {
  const { size, path } = qrOf(text)
  const side = size + 2 * QUIET_MODULES
  return (
    <svg className="qr" viewBox={`${-QUIET_MODULES} ${-QUIET_MODULES} ${side} ${side}`} shapeRendering="crispEdges" role="img" aria-label={label}>
      <rect x={-QUIET_MODULES} y={-QUIET_MODULES} width={side} height={side} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  )
}
