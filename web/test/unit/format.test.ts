import { expect, test } from 'vitest'
import { DASH, change, compact, count, duration, memory, ms, percent, signedPercent } from '~/util/format'

test('unknown is a dash and zero is zero', () => {
  for (const format of [count, compact, ms, percent, memory, duration]) {
    expect(format(null)).toBe(DASH)
    expect(format(undefined)).toBe(DASH)
    expect(format(0)).toMatch(/^0/)
  }
})

test('latency is whole milliseconds below ten seconds', () => {
  expect(ms(9999.4)).toBe('9,999 ms')
  expect(ms(10_000)).toBe('10.0 s')
  expect(ms(61_540)).toBe('61.5 s')
})

test('a share is never rounded up to all of it', () => {
  expect(percent(0.9997)).toBe('99.9%')
  expect(percent(1)).toBe('100%')
  expect(percent(0.3333)).toBe('33.3%')
  expect(percent(0.29)).toBe('29.0%')
})

test.each([
  [9999, '9,999'],
  [12_345, '12.3k'],
  [1_234_567, '1.23M'],
  [246_104_890, '246.1M'],
  [5_000_000_000, '5B'],
])('%d reads as %s', (n, text) => expect(compact(n)).toBe(text))

test('durations show two units', () => {
  expect(duration(59)).toBe('59 s')
  expect(duration(3600)).toBe('1 h')
  expect(duration(93_784)).toBe('1 d 2 h')
})

test('a change needs something to change from', () => {
  expect(change(0, 5)).toBeNull()
  expect(change(null, 5)).toBeNull()
  expect(change(200, 150)).toBe(-0.25)
  expect(signedPercent(-0.25)).toBe('−25%')
  expect(signedPercent(0.001)).toBe('±0%')
})
