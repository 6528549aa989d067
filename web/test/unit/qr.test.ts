import { encode } from 'uqr'
import { expect, test } from 'vitest'
import { qrOf, qrPath } from '~/util/qr'

const URI = 'otpauth://totp/DGON:ana%40example.org?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=DGON&algorithm=SHA1&digits=6&period=30'

/** The modules that the boxes of a path cover. */
function drawn(path: string, size: number): boolean[][] {
  const modules = Array.from({ length: size }, () => Array.from({ length: size }, () => false))
  for (const [, x, y, width] of path.matchAll(/M(\d+) (\d+)h(\d+)v1h-\3z/g)) modules[Number(y)]?.fill(true, Number(x), Number(x) + Number(width))
  return modules
}

test('modules that touch in a row are one box', () => {
  expect(qrPath([[true, true, false, true]])).toBe('M0 0h2v1h-2zM3 0h1v1h-1z')
  expect(qrPath([[false], [true]])).toBe('M0 1h1v1h-1z')
  expect(qrPath([[false, false]])).toBe('')
})

test('what is drawn is what the library made, to the edges', () => {
  const { size, path } = qrOf(URI)
  expect(drawn(path, size)).toEqual(encode(URI, { ecc: 'M', border: 0 }).data)
  expect(size).toBe(49)
  // A corner of three has the square that readers look for, right at the edge: the quiet zone is not in here.
  expect(path.startsWith('M0 0h7v1h-7z')).toBe(true)
})

test('the longest address that the server makes fits', () => {
  const label = encodeURIComponent('é'.repeat(64))
  expect(qrOf(`otpauth://totp/DGON:${label}?secret=${'A'.repeat(32)}&issuer=DGON&algorithm=SHA1&digits=6&period=30`).size).toBeLessThanOrEqual(85)
})
