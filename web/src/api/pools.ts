// What admins change about private pools. What was read of them, and of the nodes in them, is read again after it.
import { call } from '~/api/client'
import { query, queryClient } from '~/api/queries'
import type { PoolChangeRequest, PoolDetail, PoolMemberRequest, PoolNodeRequest, PoolRequest } from '~/api/types'
import { apiPath } from '~/util/path-builder'

function put(pool: PoolDetail): PoolDetail {
  queryClient.setQueryData(query.pool(pool.pool_id).queryKey, pool)
  for (const key of ['pools', 'nodes', 'node']) void queryClient.invalidateQueries({ queryKey: [key] })
  return pool
}

export const createPool = (body: PoolRequest) => call<PoolDetail>(apiPath.pools(), { method: 'POST', body }).then(put)

export const changePool = (poolId: string, body: PoolChangeRequest) => call<PoolDetail>(apiPath.pool(poolId), { method: 'PATCH', body }).then(put)

export const closePool = (poolId: string, reason: string) => changePool(poolId, { closed: true, reason })

/** Puts a node into a pool, or takes it out. */
export const setPoolNode = (poolId: string, nodeId: string, isIn: boolean, reason: string) =>
  call<PoolDetail>(apiPath.poolNodes(poolId), { method: 'POST', body: { node_id: nodeId, in_pool: isIn, ...(reason && { reason }) } satisfies PoolNodeRequest }).then(put)

/** Admits an organisation to a pool, or ends that. */
export const setPoolMember = (poolId: string, orgId: string, isAdmitted: boolean, reason: string) =>
  call<PoolDetail>(apiPath.poolMembers(poolId), { method: 'POST', body: { org_id: orgId, admitted: isAdmitted, ...(reason && { reason }) } satisfies PoolMemberRequest }).then(put)
