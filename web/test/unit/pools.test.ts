import { describe, expect, it } from 'vitest'
import { existenceText, labelsText, readLabels } from '~/util/pools'

describe('labels of a pool', () => {
  it('are typed as they are shown', () => {
    const labels = { tier: 'gold', 'site.example/hall': 'north', empty: '' }
    expect(readLabels(labelsText(labels))).toEqual(labels)
    expect(readLabels(' tier = gold ,, alone ')).toEqual({ tier: 'gold', alone: '' })
    expect(readLabels('')).toEqual({})
    // What stands after the first = is the value.
    expect(readLabels('k=a=b')).toEqual({ k: 'a=b' })
  })

  it('have a key each, and no key twice', () => {
    expect(readLabels('=gold')).toBeNull()
    expect(readLabels('tier=gold, tier=silver')).toBeNull()
  })
})

describe('what others are told of a pool', () => {
  it('is a sentence, and the word of a newer server as it is', () => {
    expect(existenceText('hidden')).toContain('nothing of it exists')
    expect(existenceText('listed')).toContain('told that it exists')
    expect(existenceText('open')).toBe('open')
  })
})
