import { call } from '~/api/client'
import { query, queryClient } from '~/api/queries'
import { session, signedIn } from '~/stores/session'
import { apiPath } from '~/util/path-builder'

/** Sets one's own password. All other sign-ins end. */
export async function setPassword(current: string, password: string): Promise<void> {
  await call<void>(apiPath.password(), { method: 'PUT', body: { ...(current && { current }), password } })
  const now = session.get()
  if (now.kind === 'signed-in') signedIn({ ...now.me, has_password: true })
  void queryClient.invalidateQueries({ queryKey: query.sessions().queryKey })
}
