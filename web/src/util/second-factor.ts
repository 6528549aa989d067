// How secrets and codes of the second factor are shown and kept.

export const RECOVERY_CODES = 10
const FEW_CODES = 3
const GROUP = 4

/** In groups of four, as one reads it aloud and types it. Apps do not mind the spaces. */
export const grouped = (secret: string): string => (secret.match(new RegExp(`.{1,${GROUP}}`, 'g')) ?? []).join(' ')

/** Codes of the app are digits alone, however they are spaced. Recovery codes are longer. */
export const isAppCode = (code: string): boolean => /^\d{6}$/.test(code.replaceAll(/\s/g, ''))

export const codesLeft = (left: number): string => (left === 1 ? '1 recovery code is left' : `${left === 0 ? 'No' : left} recovery codes are left`)

/** How urgent it is to have new ones. */
export const codesTone = (left: number): 'red' | 'amber' | null => (left === 0 ? 'red' : left <= FEW_CODES ? 'amber' : null)

interface Of {
  site: string
  email: string
  at: Date
}

/** What somebody finds years later in a drawer: whose codes, of which site, how old. */
export function codesText(codes: readonly string[], { site, email, at }: Of): string {
  const day = at.toISOString().slice(0, 10)
  return [`Recovery codes of ${email} at ${site}`, `Made on ${day}. Each signs in once, in place of a code of the authenticator app.`, '', ...codes, ''].join('\n')
}
