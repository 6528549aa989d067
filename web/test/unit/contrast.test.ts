import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const css = readFileSync(new URL('../../src/styles/tokens.css', import.meta.url), 'utf8')

function token(name: string): string {
  const found = new RegExp(`--${name}: (#[0-9a-f]{6});`).exec(css)?.[1]
  if (!found) throw new Error(`no token --${name} with a plain hex value`)
  return found
}

const channels = (hex: string) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16))

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = channels(hex).map((value) => {
    const c = value / 255
    return c <= 0.040_45 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].toSorted((x, y) => y - x)
  return (light + 0.05) / (dark + 0.05)
}

/** `color` at 16% over the panel, as color-mix in tokens.css makes it. */
function tint(color: string): string {
  const over = channels(token('panel'))
  const mixed = channels(color).map((c, i) => Math.round(c * 0.16 + (over[i] ?? 0) * 0.84))
  return `#${mixed.map((c) => c.toString(16).padStart(2, '0')).join('')}`
}

describe('text on surfaces reads at 4.5:1 or better', () => {
  test.each(['text', 'muted', 'primary', 'primary-text', 'accent', 'amber', 'red', 'red-text'])('%s', (name) => {
    for (const surface of ['bg', 'panel', 'panel-raised']) {
      expect(contrast(token(name), token(surface))).toBeGreaterThanOrEqual(4.5)
    }
  })

  test('the reference ratios of the design hold', () => {
    const onBg = (name: string) => contrast(token(name), token('bg'))
    const onPanel = (name: string) => contrast(token(name), token('panel'))
    const table: [string, number, number][] = [
      ['text', 17.6, 16.4],
      ['muted', 8, 7.4],
      ['primary', 5.5, 5.1],
      ['accent', 9.5, 8.9],
      ['amber', 10.7, 10],
      ['red', 6.4, 6],
      ['stroke-strong', 3.37, 3.14],
    ]
    for (const [name, bg, panel] of table) {
      expect(Math.abs(onBg(name) - bg), `${name} on bg`).toBeLessThan(0.2)
      expect(Math.abs(onPanel(name) - panel), `${name} on panel`).toBeLessThan(0.2)
    }
  })
})

test('ink on a filled button reads at 4.5:1, at rest and under the pointer', () => {
  expect(contrast(token('on-primary'), token('primary'))).toBeGreaterThanOrEqual(4.5)
  expect(contrast(token('on-primary'), token('primary-hover'))).toBeGreaterThanOrEqual(4.5)
})

test.each([
  ['muted', 'muted'],
  ['accent', 'accent'],
  ['amber', 'amber'],
  ['red', 'red-text'],
  ['primary', 'primary-text'],
])('a chip tinted %s carries its text', (fill, text) => {
  expect(contrast(token(text), tint(token(fill)))).toBeGreaterThanOrEqual(4.5)
})

test('edges of controls, focus ring and chart lines stand out at 3:1', () => {
  for (const name of ['stroke-strong', 'primary', 'accent', 'amber']) {
    expect(contrast(token(name), token('bg'))).toBeGreaterThanOrEqual(3)
    expect(contrast(token(name), token('panel'))).toBeGreaterThanOrEqual(3)
  }
})
