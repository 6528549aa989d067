// Where the list of nodes begins for whom.
import { expect, test } from 'vitest'
import type { Role } from '~/api/types'
import { describeFilter } from '~/util/filters'
import { nodesStart } from '~/util/nodes-start'

test('who looks after their own nodes begins with them, by a filter that says so', () => {
  const start = (...roles: Role[]) => nodesStart({ roles })
  expect(start('operator')).toBe('/nodes?owner=self')
  expect(start('operator', 'consumer', 'viewer')).toBe('/nodes?owner=self')
  expect([start('admin'), start('admin', 'operator'), start('viewer'), start('consumer'), nodesStart(null)]).toEqual(Array(5).fill('/nodes'))
  expect(describeFilter('owner', 'self')).toBe('Owner: your organisation')
})
