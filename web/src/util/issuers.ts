import type { OwnIdentity } from '~/api/types'

/** What an issuer is called; its address where it is set no more. */
export const issuerName = ({ issuer_name: name, issuer }: OwnIdentity): string => name ?? issuer.replace(/^https?:\/\//, '')

/** What people call the account: the address that the issuer said, else its name there. */
export const accountName = ({ email, subject }: OwnIdentity): string => email ?? subject

// Why somebody came back from an issuer in vain. The words of the API are a closed list; what an issuer says is never shown.
const PROBLEMS: Record<string, string> = {
  spent: 'That sign-in was used already, took longer than 10 minutes, or was begun in another browser. Start again.',
  declined: 'You did not agree at the other site, so nothing was done.',
  refused: 'The other site did not let you in. Whoever runs it knows why.',
  unproven: 'What the other site answered proves nothing, so nothing was done. Try again; if it goes on, the log of the control plane has the reason.',
  unavailable: 'The other site does not answer as it should. Try again in a minute, or sign in another way.',
  unlinked: 'Your account there is linked to no open account here. Sign in another way first, then link it on the Account page.',
  taken: 'That account is linked to another account here. Take it away there first.',
  too_many: 'You have linked as many accounts as one may. Take another one away first.',
  not_fresh: 'You signed in here more than 15 minutes ago. Sign in again, then link it.',
  session_ended: 'Your session here ended meanwhile. Sign in again, then link it.',
  too_often: 'That was tried too often. Wait a minute, then try again.',
}
const UNKNOWN = 'The control plane failed, so nothing was done. Try again; its log has the reason.'

/** What a page says of the word in its address. */
export const problemText = (word: string): string => (Object.hasOwn(PROBLEMS, word) ? (PROBLEMS[word] ?? UNKNOWN) : UNKNOWN)
