import { expect, test } from 'vitest'
import { changes } from '~/util/audit'

test('what changed is a line', () => {
  expect(changes({ status: 'active' }, { status: 'quarantine', status_reason: 'admin_quarantine' })).toEqual(['status active → quarantine', 'status reason admin_quarantine'])
  expect(changes({ enabled: null }, { enabled: true })).toEqual(['enabled none → true'])
  expect(changes(null, { uses: 2, region: 'eu' })).toEqual(['uses 2', 'region eu'])
  expect(changes({ enabled: true }, { enabled: true })).toEqual(['enabled true'])
  expect(changes(null, null)).toEqual([])
  expect(changes(null, '{"enabled":true}')).toEqual(['{"enabled":true}'])
})
