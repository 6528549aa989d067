import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import { describe, expect, it } from 'vitest'
import { Sparkline } from '~/ui/Sparkline'
import { lonePoints } from '~/util/trend'

const drawn = (values: (number | null)[]) => /sparkline-points" d="([^"]*)"/.exec(renderToStaticMarkup(createElement(Sparkline, { values, label: 'x' })))?.[1]

describe('a measurement with none beside it', () => {
  it('is found wherever it stands', () => {
    expect(lonePoints([5])).toEqual([0])
    expect(lonePoints([null, null, 5])).toEqual([2])
    expect(lonePoints([5, null, 6, 7, null, 8, null])).toEqual([0, 5])
    expect(lonePoints([1, 2])).toBeNull()
    expect(lonePoints([null, null])).toBeNull()
    expect(lonePoints([0, null])).toEqual([0])
  })

  it('is a point of the small line, also as the last or the only one', () => {
    for (const values of [[5], [null, 5], [5, null, null], [null, 5, null]]) expect(drawn(values), String(values)).toMatch(/^M[\d.]+ [\d.]+h\.01$/)
    expect(drawn([1, 2])).toBeUndefined()
    expect(drawn([null])).toBeUndefined()
  })
})
