import { afterEach, describe, expect, it } from 'vitest'
import { poolName } from '~/api/pools'
import { query, queryClient } from '~/api/queries'
import type { NodeRow, Pool, PoolDetail } from '~/api/types'
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

describe('the name of a pool', () => {
  afterEach(() => queryClient.clear())
  const named = (pool_id: string, name: string) => ({ pool_id, name })

  it('is told by a node of it, by its page and by a list of pools', () => {
    expect(poolName('p_1')).toBeUndefined()
    queryClient.setQueryData(query.pools({}).queryKey, { items: [named('p_1', 'night') as Pool], next_cursor: null })
    expect([poolName('p_1'), poolName('p_2')]).toEqual(['night', undefined])
    queryClient.setQueryData(query.pool('p_1').queryKey, named('p_1', 'dusk') as PoolDetail)
    expect(poolName('p_1')).toBe('dusk')
    expect(poolName('p_1', [{ node_id: 'n' }, { node_id: 'm', pool: named('p_1', 'dawn') }] as NodeRow[])).toBe('dawn')
  })
})
