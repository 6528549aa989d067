import { encode } from 'uqr'

/** What a reader needs around the modules to tell them from all else. */
export const QUIET_MODULES = 4

export interface Qr {
  /** Modules of a side, without the quiet zone. */
  size: number
  /** The dark modules as one path: those that touch in a row are one box, so that no seam is seen. */
  path: string
}

function rowPath(row: readonly boolean[], y: number): string {
  let path = ''
  for (let x = 0; x < row.length; x += 1) {
    if (!row[x] || row[x - 1]) continue
    const end = row.indexOf(false, x)
    const width = (end === -1 ? row.length : end) - x
    path += `M${x} ${y}h${width}v1h-${width}z`
  }
  return path
}

export const qrPath = (modules: readonly (readonly boolean[])[]): string => modules.map(rowPath).join('')

/** The text as a QR code. Level M: a screen is clean, and what is read from it is next to it to type. */
export function qrOf(text: string): Qr {
  const { size, data } = encode(text, { ecc: 'M', border: 0 })
  return { size, path: qrPath(data) }
}
