// Private pools to look at while developing. What is changed lasts as long as the development server.
import type { PoolDetail } from '../src/api/types.ts'
import { type Refusal, orgs, refuse } from './people.ts'

const iso = (day: number) => new Date(Date.now() - 86_400_000 * day).toISOString()

export const pools: PoolDetail[] = [
  {
    pool_id: 'pool_1', name: 'h200-night', org_id: 'o_1', org_name: 'Rigs of the north', labels: { tier: 'gold', 'site.example/hall': 'north' }, existence: 'hidden', created_at: iso(20), closed_at: null, nodes: 2, members: 1,
    admitted: [{ org_id: 'o_lab', org_name: 'Hardware laboratory of the technical university', admitted_at: iso(3), admitted_by: 'user:u_1', admitted_by_email: 'ana@example.org' }],
  },
  { pool_id: 'pool_2', name: 'own', org_id: 'main', org_name: 'main', labels: {}, existence: 'listed', created_at: iso(40), closed_at: null, nodes: 0, members: 0, admitted: [] },
]

type Body = Partial<{ org_id: string; name: string; labels: Record<string, string>; existence: string; closed: boolean; admitted: boolean; node_id: string; in_pool: boolean }>

const nameOf = (orgId: string | undefined) => orgs.find((org) => org.org_id === orgId)?.name ?? ''

function wrong(name: string | undefined): Refusal | null {
  if (name === undefined) return null
  if (!/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(name)) return refuse(400, 'invalid_request', 'the name of a pool has 1 to 63 characters: small letters, digits and hyphens, with none of these at either end', { field: 'name' })
  return null
}

/** What a change of a pool answers; nothing where it is of none. */
export function changePools(method: string, path: string, body: Body): unknown {
  const [kind, id = '', part] = path.split('/').filter(Boolean).map(decodeURIComponent)
  if (method === 'GET' || kind !== 'pools') return undefined
  const refusal = wrong(body.name)
  if (refusal) return refusal
  if (!id) {
    if (pools.some((pool) => pool.org_id === body.org_id && pool.name === body.name && !pool.closed_at)) return refuse(409, 'conflict', 'the organisation has an open pool of this name already')
    const made: PoolDetail = { pool_id: `pool_${pools.length + 1}`, name: body.name ?? '', org_id: body.org_id ?? '', org_name: nameOf(body.org_id), labels: body.labels ?? {}, existence: body.existence ?? 'hidden', created_at: iso(0), closed_at: null, nodes: 0, members: 0, admitted: [] }
    pools.unshift(made)
    return made
  }
  const pool = pools.find((one) => one.pool_id === id)
  if (!pool) return refuse(404, 'not_found', 'there is no open pool with this id')
  if (part === 'members') {
    pool.admitted = pool.admitted.filter((one) => one.org_id !== body.org_id)
    if (body.admitted) pool.admitted.push({ org_id: body.org_id ?? '', org_name: nameOf(body.org_id), admitted_at: iso(0), admitted_by: 'user:u_1', admitted_by_email: 'ana@example.org' })
    pool.members = pool.admitted.length
  } else if (part === 'nodes') pool.nodes = Math.max(0, pool.nodes + (body.in_pool ? 1 : -1))
  else if (body.closed && pool.nodes > 0) return refuse(409, 'conflict', `nodes in this pool that are not retired: ${pool.nodes}; take them out first, after which everybody may see them, or put them into another pool`)
  else if (body.closed) pool.closed_at = iso(0)
  else Object.assign(pool, { ...(body.name && { name: body.name }), ...(body.labels && { labels: body.labels }), ...(body.existence && { existence: body.existence }) })
  return pool
}
