import { ApiError, errorOfResponse, unreachable } from '~/api/errors'
import type { Me } from '~/api/types'
import { currentMe, rightsOf, session, sessionEnded, signedIn } from '~/stores/session'
import { apiPath, apiUrl } from '~/util/path-builder'

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

interface Options {
  method?: Method
  body?: unknown
  signal?: AbortSignal
  /** A 401 here is an answer, not an ended session. */
  isAuthRoute?: boolean
  /** It does the same whichever organisation the person acts for, and whatever they may do there. */
  isOfPerson?: boolean
}

const changes = ({ method = 'GET' }: Options) => method !== 'GET'

async function send(path: string, { method = 'GET', body, signal }: Options): Promise<Response> {
  const headers = new Headers({ accept: 'application/json' })
  if (body !== undefined) headers.set('content-type', 'application/json')
  const me = currentMe(session.get())
  if (changes({ method }) && me) headers.set('x-csrf-token', me.csrf_token)
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
      const before = session.get()
      const response = await send('/auth/refresh', { method: 'POST' })
      if (response.ok) {
        const me = (await response.json()) as Me
        if (session.get() === before) signedIn(me)
        else await readMe()
        return true
      }
      // Somebody may have signed in meanwhile: what was refused is not theirs.
      if ((response.status === 401 || response.status === 403) && session.get() === before) sessionEnded()
      return false
    } catch {
      return false
    } finally {
      refreshing = null
    }
  })()
  return refreshing
}

/** Asks who is signed in, and for what. An answer that another one overtook may be the older: it is asked for again. */
export async function readMe(): Promise<void> {
  const before = session.get()
  const me = await call<Me>(apiPath.me(), { isAuthRoute: true })
  if (session.get() === before) signedIn(me)
  else await readMe()
}

/** For whom a request is meant. */
function meantFor({ isOfPerson = false }: Options): string | null {
  const me = currentMe(session.get())
  return isOfPerson ? (me?.user_id ?? null) : rightsOf(me)
}

const changedMeanwhile = () =>
  new ApiError('changed', 'Nothing was done: what you may do, or the organisation that you act for, changed at this moment. Look again, then repeat it.', 0, null)

/** Whether a request may be sent once more: who is signed in, and with which token, is known anew. */
async function isKnownAnew(error: ApiError, options: Options): Promise<boolean> {
  // The token is that of the organisation: another page of this browser may have changed it, and this one not have heard yet.
  if (error.type === 'invalid_csrf' && changes(options)) {
    await readMe()
    return true
  }
  // Of a signature or a link that does not hold the session is no cause.
  const hasEnded = error.status === 401 && error.type === 'unauthorized'
  return hasEnded && !options.isAuthRoute && refreshSession()
}

export async function request(path: string, options: Options = {}): Promise<Response> {
  const before = meantFor(options)
  const response = await send(path, options)
  if (response.ok) return response
  const error = await errorOfResponse(response)
  if (!(await isKnownAnew(error, options))) throw error
  // What was meant for one organisation is not done in another.
  if (changes(options) && meantFor(options) !== before) throw changedMeanwhile()
  const again = await send(path, options)
  if (!again.ok) throw await errorOfResponse(again)
  return again
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
