// Signing in by an issuer of OpenID Connect, and a person's own accounts there.
import { call } from '~/api/client'
import { ApiError } from '~/api/errors'
import { query, queryClient } from '~/api/queries'
import type { OidcStart, OidcWish } from '~/api/types'
import { keepNext } from '~/stores/at-issuer'
import { hintSession } from '~/stores/session-hint'
import { apiPath } from '~/util/path-builder'

/** Leaves for the issuer, which sends the browser back to the server. Whoever signs in goes on to `next`. */
export async function goToIssuer(id: string, purpose: OidcWish, next: string | null): Promise<void> {
  const { url } = await call<OidcStart>(apiPath.issuerStart(id), { method: 'POST', body: { purpose }, isAuthRoute: purpose === 'sign_in' })
  // The page that comes back must ask who is signed in.
  hintSession()
  keepNext(next)
  location.assign(url)
}

export async function unlinkIdentity(id: string): Promise<void> {
  try {
    await call<void>(apiPath.identity(id), { method: 'DELETE' })
  } catch (error) {
    // One that was taken away meanwhile is what was wanted.
    if (!(error instanceof ApiError && error.type === 'not_found')) throw error
  }
  const { queryKey } = query.identities()
  queryClient.setQueryData(queryKey, (now) => now && { items: now.items.filter((one) => one.id !== id) })
  void queryClient.invalidateQueries({ queryKey })
}
