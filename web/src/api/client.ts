import { ApiError, errorOfResponse, unreachable } from '~/api/errors'
import type { Me } from '~/api/types'
import { currentMe, session, sessionEnded, signedIn } from '~/stores/session'
import { apiUrl } from '~/util/path-builder'

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

interface Options {
  method?: Method
  body?: unknown
  signal?: AbortSignal
  /** A 401 here is an answer, not an ended session. */
  isAuthRoute?: boolean
}

async function send(path: string, { method = 'GET', body, signal }: Options): Promise<Response> {
  const headers = new Headers({ accept: 'application/json' })
  if (body !== undefined) headers.set('content-type', 'application/json')
  const me = currentMe(session.get())
  if (method !== 'GET' && me) headers.set('x-csrf-token', me.csrf_token)
  try {
    return await fetch(apiUrl(path), {
      method,
      headers,
      credentials: 'same-origin',
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw unreachable()
  }
}

let refreshing: Promise<boolean> | null = null

/** Renews the session once, however many requests found it expired at the same time. */
export function refreshSession(): Promise<boolean> {
  refreshing ??= (async () => {
    try {
      const response = await send('/auth/refresh', { method: 'POST' })
      if (response.ok) {
        signedIn((await response.json()) as Me)
        return true
      }
      if (response.status === 401 || response.status === 403) sessionEnded()
      return false
    } catch {
      return false
    } finally {
      refreshing = null
    }
  })()
  return refreshing
}

export async function request(path: string, options: Options = {}): Promise<Response> {
  let response = await send(path, options)
  if (response.status === 401 && !options.isAuthRoute && (await refreshSession())) {
    response = await send(path, options)
  }
  if (!response.ok) throw await errorOfResponse(response)
  return response
}

/** Calls the API and reads its JSON. The shape is the generated one of the caller. */
export async function call<T>(path: string, options: Options = {}): Promise<T> {
  const response = await request(path, options)
  if (response.status === 204) return undefined as T
  try {
    return (await response.json()) as T
  } catch {
    throw new ApiError('internal', 'The answer is not JSON. A proxy in between may have replaced it.', response.status, null)
  }
}

export async function callBytes(path: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const response = await request(path, signal ? { signal } : {})
  return new Uint8Array(await response.arrayBuffer())
}

export async function callText(path: string, signal?: AbortSignal): Promise<string> {
  return (await request(path, signal ? { signal } : {})).text()
}
