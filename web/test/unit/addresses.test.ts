import { describe, expect, test } from 'vitest'
import { describeFilter, nodeFilters, receiptFilters } from '~/util/filters'
import { apiPath, liveUrl, path } from '~/util/path-builder'

test('every address of the console', () => {
  expect({
    overview: path.overview(),
    nodes: path.nodes(),
    filtered: path.nodes({ status: 'active,offline', region: 'eu west', q: undefined, cursor: '' }),
    node: path.node('rack 1/a', { tab: 'hardware' }),
    receipts: path.receipts({ from: '2026-11-01T00:00:00.000Z' }),
    receipt: path.receipt('r_01:a', 'rack 1/a'),
    receiptOfSome: path.receipt('r_01:a'),
    run: path.run(),
    users: path.users({ org_id: 'o_1', q: 'a@b' }),
    user: path.user('u/1'),
    organisations: path.organisations(),
    account: path.account(),
    sessions: path.sessions(),
    keys: path.keys({ cursor: '1.k' }),
    signIn: path.signIn('/nodes?status=active'),
    register: path.register(),
  }).toEqual({
    overview: '/',
    nodes: '/nodes',
    filtered: '/nodes?status=active,offline&region=eu+west',
    node: '/nodes/rack%201%2Fa?tab=hardware',
    receipts: '/receipts?from=2026-11-01T00:00:00.000Z',
    receipt: '/receipts/r_01%3Aa?node_id=rack+1%2Fa',
    receiptOfSome: '/receipts/r_01%3Aa',
    run: '/run',
    users: '/users?org_id=o_1&q=a%40b',
    user: '/users/u%2F1',
    organisations: '/organisations',
    account: '/account',
    sessions: '/account/sessions',
    keys: '/account/keys?cursor=1.k',
    signIn: '/sign-in?next=%2Fnodes%3Fstatus%3Dactive',
    register: '/register',
  })
  expect(apiPath.receipt('a b', 'n')).toBe('/receipts/a%20b?node_id=n')
  expect(apiPath.receiptRaw('a b', 'n')).toBe('/receipts/a%20b/raw?node_id=n')
})

test('the live socket is beside the page', () => {
  expect(liveUrl(new URL('https://dgon.example/nodes') as unknown as Location)).toBe('wss://dgon.example/api/v1/live')
  expect(liveUrl(new URL('http://gpu.lan:8080/') as unknown as Location)).toBe('ws://gpu.lan:8080/api/v1/live')
})

describe('what an address may say', () => {
  test('known values pass, the rest is named', () => {
    const filters = nodeFilters({ status: 'banana', region: 'eu', gpu: 'xyz', sort: '-p95', cursor: 'c', tab: 'history' })
    expect(filters.active).toEqual({ region: 'eu' })
    expect(filters.ignored).toEqual(['status=banana', 'gpu=xyz'])
    expect(filters.request).toEqual({ region: 'eu', limit: '25', cursor: 'c', sort: '-p95' })
  })

  test('lists, times and flags are checked', () => {
    expect(nodeFilters({ status: 'active,offline' }).active).toEqual({ status: 'active,offline' })
    expect(nodeFilters({ status: 'active,banana' }).active).toEqual({})
    expect(nodeFilters({ sort: 'colour' }).ignored).toEqual(['sort=colour'])
    const filters = receiptFilters({ from: 'yesterday', to: '2026-11-20T10:00:00Z', hedged: 'maybe', cache_hit: 'true' })
    expect(filters.active).toEqual({ to: '2026-11-20T10:00:00Z', cache_hit: 'true' })
    expect(filters.ignored).toEqual(['from=yesterday', 'hedged=maybe'])
  })

  test('filters read as words', () => {
    expect(describeFilter('status', 'active,offline')).toBe('Status: active or offline')
    expect(describeFilter('cache_hit', 'true')).toBe('Cache hit: yes')
  })
})
