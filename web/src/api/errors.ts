import type { ErrorBody } from '~/api/types'

/** What the control plane, or the way to it, said no with. */
export class ApiError extends Error {
  readonly type: string
  readonly status: number
  readonly requestId: string | null
  /** Facts for a program. */
  readonly details: Readonly<Record<string, unknown>>
  /** After how many seconds to try again, where the server says so. */
  retryAfterS: number | null = null

  constructor(type: string, message: string, status: number, requestId: string | null, details: Readonly<Record<string, unknown>> = {}) {
    super(message)
    this.name = 'ApiError'
    this.type = type
    this.status = status
    this.requestId = requestId
    this.details = details
  }
}

function isErrorBody(body: unknown): body is ErrorBody {
  if (typeof body !== 'object' || body === null || !('error' in body)) return false
  const { error } = body
  return typeof error === 'object' && error !== null && 'type' in error && 'message' in error
}

export async function errorOfResponse(response: Response): Promise<ApiError> {
  const headerId = response.headers.get('x-request-id')
  const body: unknown = await response.json().catch(() => null)
  if (isErrorBody(body)) {
    const { type, message, request_id: id, details } = body.error
    const error = new ApiError(String(type), String(message), response.status, id || headerId, details)
    error.retryAfterS = Number(response.headers.get('retry-after')) || null
    return error
  }
  const message = `The control plane answered ${response.status} without an explanation.`
  return new ApiError('internal', message, response.status, headerId)
}

export const unreachable = () =>
  new ApiError('unreachable', 'The control plane did not answer. Check that it runs and that this machine reaches it.', 0, null)

/** The field of a form that the server refused. */
export function fieldOf(error: unknown): string | null {
  const field = error instanceof ApiError ? error.details.field : null
  return typeof field === 'string' ? field : null
}

const ADVICE: Record<string, string> = {
  unreachable: 'What is on screen stays; the console keeps trying.',
  unauthorized: 'Your session ended. Sign in again.',
  second_factor_needed: 'Your account asks for a code at each sign-in: six digits of your authenticator app, or a recovery code.',
  forbidden: 'Your role does not allow this. An admin can grant it.',
  rate_limited: 'Too many requests in a short time. Wait a moment, then retry.',
  unavailable: 'The control plane is starting, stopping, or has too much to do. Retry in a few seconds.',
  internal: 'The fault is on the server. Its log has the cause under the request id below.',
  not_found: 'It may have been removed, or it is not yours to see.',
}

export function adviceFor(error: unknown): string | null {
  // Where a newer sign-in is asked for no role is missing, and the message says what to do.
  if (!(error instanceof ApiError) || asksToSignInAgain(error)) return null
  // Something in a private pool: no role of one's own would show it.
  if (error.details.restricted_to) return 'It is shown to the operators of its own organisation, and of those that its pool admits.'
  return ADVICE[error.type] ?? null
}

/** Whether the server answered, and the same question has the same answer in a moment: a 4xx, but for the one that says to wait. */
export const isAnswer = (error: unknown): error is ApiError => error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429

/** Of a read: it is not there, it is not for this person, or what it belongs to is off in this network. */
const REFUSALS = new Set(['not_found', 'forbidden', 'conflict'])

/** Whether a read says that nothing of it is for this person. A session that ended is none: the page stays under its dialog. */
export const isRefusal = (error: unknown): error is ApiError => isAnswer(error) && REFUSALS.has(error.type) && !asksToSignInAgain(error)

/** Whether the sign-in is too old for what was asked: to ask once more would help nobody. */
export const asksToSignInAgain = (error: unknown): boolean => error instanceof ApiError && error.details.sign_in === 'again'

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'Something failed without saying what.'
}
