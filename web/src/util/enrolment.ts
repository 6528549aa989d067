// What is said of enrolment tokens.
import type { EnrolmentToken } from '~/api/types'

/** Whether a machine can enrol with it at this time of the server, unix ms. */
export const worksAt = ({ revoked_at: revokedAt, uses_left: left, expires_at: until }: EnrolmentToken, now: number) => !revokedAt && left > 0 && Date.parse(until) > now

/** What it is called; its id where nobody called it anything. */
export const tokenName = ({ label, id }: EnrolmentToken) => label || id

export const usesText = ({ uses_left: left, uses_total: total }: EnrolmentToken) => `${left} of ${total}`

/** The account that made it, itself or by a key; null where it was none. */
export const makerOf = ({ created_by: by }: EnrolmentToken): string | null => /^user:(.+)$/.exec(by)?.[1] ?? null
