// API keys: made, and revoked. The whole key is in one answer and is kept nowhere here.
import { call } from '~/api/client'
import { ApiError } from '~/api/errors'
import { queryClient } from '~/api/queries'
import type { ApiKey, ApiKeyCreated, ApiKeyRequest, Page } from '~/api/types'
import { apiPath } from '~/util/path-builder'

const KEYS = ['api-keys']

export async function createKey(body: ApiKeyRequest): Promise<ApiKeyCreated> {
  const made = await call<ApiKeyCreated>(apiPath.keys(), { method: 'POST', body })
  void queryClient.invalidateQueries({ queryKey: KEYS })
  return made
}

export async function revokeKey(id: string): Promise<void> {
  try {
    await call<void>(apiPath.key(id), { method: 'DELETE' })
  } catch (error) {
    // One that is gone meanwhile does nothing any more, which is what was wanted.
    if (!(error instanceof ApiError && error.type === 'not_found')) throw error
  }
  const revoked = (key: ApiKey): ApiKey => (key.id === id ? { ...key, state: 'revoked' } : key)
  queryClient.setQueriesData<Page<ApiKey>>({ queryKey: KEYS }, (now) => now && { ...now, items: now.items.map(revoked) })
  void queryClient.invalidateQueries({ queryKey: KEYS })
}
