import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { NODE_FILTERS, NODE_SORTS, RECEIPT_FILTERS, USER_FILTERS, areCounted, describeFilter, nodeFilters, receiptFilters } from '~/util/filters'

interface Parameter {
  name: string
  in: string
  description?: string
}

const api = JSON.parse(readFileSync(new URL('../../../control-plane/openapi.json', import.meta.url), 'utf8')) as {
  paths: Record<string, { get?: { parameters?: Parameter[] } }>
}

const taken = (path: string) => (api.paths[path]?.get?.parameters ?? []).filter((parameter) => parameter.in === 'query')
const names = (path: string) => taken(path).map(({ name }) => name)

describe('the filters of the address', () => {
  // The API refuses what it does not know: a name that is not in its document would empty the whole page.
  it('are parameters of the API', () => {
    expect(names('/api/v1/nodes')).toEqual(expect.arrayContaining([...Object.keys(NODE_FILTERS), 'sort', 'limit', 'cursor']))
    expect(names('/api/v1/receipts')).toEqual(expect.arrayContaining([...Object.keys(RECEIPT_FILTERS), 'limit', 'cursor']))
    expect(names('/api/v1/receipts/aggregate')).toEqual(expect.arrayContaining(Object.keys(RECEIPT_FILTERS)))
    expect(names('/api/v1/users').toSorted()).toEqual([...Object.keys(USER_FILTERS), 'limit', 'cursor'].toSorted())
  })

  it('are all that the API answers', () => {
    const answered = taken('/api/v1/nodes').filter(({ description }) => !description?.startsWith('Refused'))
    const page = new Set(['sort', 'limit', 'cursor'])
    expect(Object.keys(NODE_FILTERS).toSorted()).toEqual(answered.map(({ name }) => name).filter((name) => !page.has(name)).toSorted())
    expect(Object.keys(RECEIPT_FILTERS).toSorted()).toEqual(names('/api/v1/receipts/aggregate').toSorted())
  })

  it('have a word each, and orders that the API names', () => {
    for (const key of [...Object.keys(NODE_FILTERS), ...Object.keys(RECEIPT_FILTERS), ...Object.keys(USER_FILTERS)]) expect(describeFilter(key, 'x')).not.toBe(`${key}: x`)
    const sort = taken('/api/v1/nodes').find(({ name }) => name === 'sort')?.description ?? ''
    for (const order of NODE_SORTS) expect(sort).toContain(`\`${order}\``)
  })

  it('leave the figures of the network those of the list for admins who filter by nothing but the status', () => {
    expect([areCounted({}, true), areCounted({ status: 'active,offline' }, true)]).toEqual([true, true])
    expect([areCounted({}, false), areCounted({ owner: 'self' }, true), areCounted({ status: 'active', region: 'x' }, true)]).toEqual([false, false, false])
  })

  it('pass when known, and are named and left out otherwise', () => {
    expect(receiptFilters({ node_id: 'a', node: 'a', cursor: '7' })).toEqual({
      request: { node_id: 'a', limit: '50', cursor: '7' },
      active: { node_id: 'a' },
      ignored: ['node=a'],
    })
    expect(nodeFilters({ owner: 'self', reputation_min: '1', sort: '-p95' })).toEqual({
      request: { owner: 'self', limit: '25', sort: '-p95' },
      active: { owner: 'self' },
      ignored: ['reputation_min=1'],
    })
  })
})
