// The steps of a sign-in: one of the ways in, and then the code, where the account asks for one.
import type { Pending } from '~/api/sign-in'

type Way = 'password' | 'link' | 'wallet' | 'issuer'

export type SignInStep =
  /** The ways are offered; `again` says why they are once more, and `isBack` that somebody comes from the code. */
  | { kind: 'ways'; email: string; again: string | null; isBack: boolean }
  /** The link that the page was opened with is looked at. */
  | { kind: 'link' }
  | { kind: 'code'; way: Way; email: string; pending: Pending }
  | { kind: 'in'; way: Way }

export type SignInEvent =
  /** One way was gone to its end. */
  | { kind: 'proven'; way: Way; pending: Pending | null; email?: string }
  | { kind: 'entered' }
  /** What was begun leads nowhere any more. */
  | { kind: 'over'; why: string }
  | { kind: 'again' }

export const LINK: SignInStep = { kind: 'link' }
/** An issuer has sent the browser back, and the account asks for a code. */
export const FROM_ISSUER: SignInStep = { kind: 'code', way: 'issuer', email: '', pending: { finish: () => {} } }
export const waysIn = (email = ''): SignInStep => ({ kind: 'ways', email, again: null, isBack: false })
/** Where the page begins: with the link that it was opened with, or with what its address says. */
export const firstStep = (hasToken: boolean, word: string | undefined): SignInStep => (hasToken ? LINK : word === 'code' ? FROM_ISSUER : waysIn())

const LINK_IS_GOOD = 'Your sign-in link was not used up: open it again, or sign in another way.'

export function nextStep(now: SignInStep, event: SignInEvent): SignInStep {
  const email = now.kind === 'ways' || now.kind === 'code' ? now.email : ''
  switch (event.kind) {
    case 'proven': {
      // A link is looked at once, however often its answer is told.
      if (event.way === 'link' && now.kind !== 'link') return now
      return event.pending ? { kind: 'code', way: event.way, email: event.email ?? email, pending: event.pending } : { kind: 'in', way: event.way }
    }
    case 'entered':
      return now.kind === 'code' ? { kind: 'in', way: now.way } : now
    case 'over':
      return { kind: 'ways', email, again: event.why, isBack: now.kind === 'code' }
    case 'again':
      return { kind: 'ways', email, again: now.kind === 'code' && now.way === 'link' ? LINK_IS_GOOD : null, isBack: true }
  }
}
