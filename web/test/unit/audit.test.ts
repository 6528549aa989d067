import { expect, test } from 'vitest'
import { auditSearch, changes } from '~/util/audit'

test('what changed is a line', () => {
  expect(changes({ status: 'active' }, { status: 'quarantine', status_reason: 'admin_quarantine' })).toEqual(['status active → quarantine', 'status reason admin_quarantine'])
  expect(changes({ enabled: null }, { enabled: true })).toEqual(['enabled none → true'])
  expect(changes(null, { uses: 2, region: 'eu' })).toEqual(['uses 2', 'region eu'])
  expect(changes({ enabled: true }, { enabled: true })).toEqual(['enabled true'])
  expect(changes(null, null)).toEqual([])
  // Nothing in the place of nothing is no change; lists are words.
  expect(changes(null, { label: '', roles: ['viewer', 'operator'], labels: [] })).toEqual(['roles viewer and operator'])
  expect(changes({ roles: ['viewer'] }, { roles: [] })).toEqual(['roles viewer → none'])
  expect(changes(null, '{"enabled":true}')).toEqual(['{"enabled":true}'])
})

test('what is typed is what it looks like', () => {
  const asked = (text: string) => Object.fromEntries(Object.entries(auditSearch(text)).filter(([, value]) => value !== undefined))
  expect(asked('')).toEqual({})
  expect(asked('ida@example.org')).toEqual({ actor: 'ida@example.org' })
  expect(asked('flag.set')).toEqual({ action: 'flag.set' })
  expect(asked('flag:public_receipts')).toEqual({ object: 'flag:public_receipts' })
  expect(asked('01KBC9Z6Q6N4V1V7X0J0M3R2TA')).toEqual({ request_id: '01KBC9Z6Q6N4V1V7X0J0M3R2TA' })
  expect(asked('request:mine-7')).toEqual({ request_id: 'mine-7' })
  expect(asked('u_144gszfyrqabcdef')).toEqual({ object: 'user:u_144gszfyrqabcdef' })
  expect(asked('pool_hjah1brsznx9m6g3')).toEqual({ object: 'pool:pool_hjah1brsznx9m6g3' })
  expect(asked('north-00001')).toEqual({ object: 'node:north-00001' })
})
