// Flags of the network, which admins set.
import { call, readMe } from '~/api/client'
import { apiPath } from '~/util/path-builder'

const PRIVATE_POOLS = 'enable_private_pools'

/** Turns private pools on for the whole network. Whether they are is told with one's own session, which is read again. */
export async function turnPoolsOn(): Promise<void> {
  await call<unknown>(apiPath.flag(PRIVATE_POOLS), { method: 'PUT', body: { enabled: true } })
  await readMe()
}
