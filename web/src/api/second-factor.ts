// One's own second factor: an authenticator app, and recovery codes for when it is gone.
import { call, readMe } from '~/api/client'
import { ApiError, fieldOf, messageOf } from '~/api/errors'
import { query, queryClient } from '~/api/queries'
import type { RecoveryCodes, SecondFactor, SecondFactorOffer } from '~/api/types'
import { currentMe, session, signedIn } from '~/stores/session'
import { duration } from '~/util/format'
import { apiPath } from '~/util/path-builder'

const readAgain = () => void readMe().catch(() => undefined)

/** On the page at once, and as the server has it a little later. */
function keep(factor: SecondFactor | null): void {
  const now = session.get()
  if (now.kind === 'signed-in') signedIn({ ...now.me, second_factor: factor })
  readAgain()
}

/** Where the server has it otherwise than the page, somebody changed it elsewhere: the page is to say so, too. */
async function change<T>(path: string, method: 'POST' | 'PUT', body?: object): Promise<T> {
  try {
    return await call<T>(path, { method, ...(body && { body }) })
  } catch (error) {
    if (error instanceof ApiError && error.type === 'conflict') readAgain()
    throw error
  }
}

/** A secret for an app. It counts from its first code on, and not before. */
export const offerSecondFactor = () => change<SecondFactorOffer>(apiPath.secondFactorOffer(), 'POST')

/** Shows that the app has the secret. All other sign-ins end. No codes where the secret was offered too long ago. */
export async function setSecondFactor(sealed: string, code: string, current: string): Promise<string[] | null> {
  try {
    const { recovery_codes: codes } = await change<RecoveryCodes>(apiPath.secondFactor(), 'PUT', { sealed, code: code.trim(), ...(current && { current }) })
    keep({ since: new Date().toISOString(), recovery_codes_left: codes.length })
    void queryClient.invalidateQueries({ queryKey: query.sessions().queryKey })
    return codes
  } catch (error) {
    if (error instanceof ApiError && error.type === 'invalid_token') return null
    throw error
  }
}

export async function renewRecoveryCodes(code: string): Promise<string[]> {
  const { recovery_codes: codes } = await change<RecoveryCodes>(apiPath.recoveryCodes(), 'POST', { code: code.trim() })
  const factor = currentMe(session.get())?.second_factor
  if (factor) keep({ ...factor, recovery_codes_left: codes.length })
  return codes
}

export async function removeSecondFactor(code: string): Promise<void> {
  await change<void>(apiPath.secondFactorRemove(), 'POST', { code: code.trim() })
  keep(null)
}

/** The limit of an address passes within a minute and counts every kind of code; that of an account lasts longer, and counts those of the app alone. */
const SHORT_WAIT_S = 60

function tooOften(waitS: number | null): string {
  if (waitS === null) return 'Too many tries. Wait a few minutes, or enter a recovery code.'
  if (waitS <= SHORT_WAIT_S) return `Too many tries. Wait ${duration(waitS)}, then enter a code of the app or a recovery code.`
  return `Too many wrong codes. Codes of the app are taken again in ${duration(waitS)}; a recovery code still works now.`
}

/** What is wrong with a code, to be said at its field; nothing where something else failed. */
export function codeRefusal(error: unknown): string | null {
  if (fieldOf(error) === 'code') return messageOf(error)
  return error instanceof ApiError && error.type === 'rate_limited' ? tooOften(error.retryAfterS) : null
}
