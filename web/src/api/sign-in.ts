// The ways in, and the code that an account may ask for after each of them.
import { call } from '~/api/client'
import { ApiError } from '~/api/errors'
import { query, queryClient } from '~/api/queries'
import type { Me, RegisterRequest } from '~/api/types'
import { signedIn } from '~/stores/session'
import { apiPath } from '~/util/path-builder'

/** A sign-in that lacks its code. What was proven is in a cookie that no page can read, and is kept here in no other way. */
export interface Pending {
  /** What is left to be done once it is known who it is, before anything hears of the session. */
  finish: (me: Me) => void
}

export type Entered = { isIn: true; me: Me } | { isIn: false; why: string }

const ask = (path: string, body: object) => call<Me>(path, { method: 'POST', body, isAuthRoute: true })

function enter(me: Me): void {
  signedIn(me)
  queryClient.setQueryData(query.me().queryKey, me)
  // What was read as a stranger, or failed at the end of a session, is read again. What is on screen stays.
  void queryClient.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'me' })
}

/** Goes one way in. Nothing is left to do after it, or a code is asked for. */
export async function signInBy(path: string, proof: object, finish: Pending['finish'] = () => {}): Promise<Pending | null> {
  try {
    const me = await ask(path, proof)
    finish(me)
    enter(me)
    return null
  } catch (error) {
    if (error instanceof ApiError && error.type === 'second_factor_needed') return { finish }
    throw error
  }
}

export const login = (email: string, password: string) => signInBy(apiPath.login(), { email, password })

export const redeemLink = (token: string, finish?: Pending['finish']) => signInBy(apiPath.redeem(), { token }, finish)

export const setUpFirstAdmin = (token: string, email: string, password: string) => ask(apiPath.setup(), { token, email, password }).then(enter)

/** Makes an account with an organisation of its own, and is in. */
export const register = (account: RegisterRequest) => ask(apiPath.register(), account).then(enter)

/** Why a code cannot be entered any more: there is nothing to be done about that but to begin again. */
const OVER: Record<string, string> = {
  invalid_token: 'That took too long, or was begun in another browser. Sign in again.',
  conflict: 'Your account asks for no code any more. Sign in again.',
}

/** Signs in with the code that was asked for. */
export async function enterCode({ finish }: Pending, code: string): Promise<Entered> {
  try {
    const me = await ask(apiPath.codeSignIn(), { code: code.trim() })
    finish(me)
    enter(me)
    return { isIn: true, me }
  } catch (error) {
    const why = error instanceof ApiError ? OVER[error.type] : undefined
    if (why === undefined) throw error
    return { isIn: false, why }
  }
}
