// Nodes of other organisations: shown trimmed, told of by no socket, and behind a filter for who looks after their own.
import { expect, test } from 'vitest'
import { query } from '~/api/queries'
import type { NodeDetail, NodeRow, Role } from '~/api/types'
import { describeFilter } from '~/util/filters'
import { nodesStart } from '~/util/nodes-start'

test('who looks after their own nodes begins with them, by a filter that says so', () => {
  const start = (...roles: Role[]) => nodesStart({ roles })
  expect(start('operator')).toBe('/nodes?owner=self')
  expect(start('operator', 'consumer', 'viewer')).toBe('/nodes?owner=self')
  expect([start('admin'), start('admin', 'operator'), start('viewer'), start('consumer'), nodesStart(null)]).toEqual(Array(5).fill('/nodes'))
  expect(describeFilter('owner', 'self')).toBe('Owner: your organisation')
})

const row = (withheld: boolean) => ({ node_id: 'rig', withheld }) as NodeRow
const page = (...rows: NodeRow[]) => ({ items: rows, next_cursor: null, total: rows.length })

test("others' nodes are read again every few seconds, and one's own when the socket tells of them", () => {
  // How often is asked of a query with this answer.
  const every = (options: { refetchInterval?: unknown }, data: unknown) => (options.refetchInterval as (query: object) => number | false)({ state: { data } })
  expect(every(query.nodes({}), page(row(false), row(true)))).toBe(5000)
  expect(every(query.nodes({}), page(row(false)))).toBe(false)
  expect(every(query.nodes({}), undefined)).toBe(false)
  expect(every(query.node('rig'), row(true) as NodeDetail)).toBe(5000)
  expect(every(query.node('rig'), row(false) as NodeDetail)).toBe(false)
})
