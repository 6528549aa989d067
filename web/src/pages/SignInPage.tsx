import { useQuery } from '@tanstack/react-query'
import { useEffect, useReducer, useState } from 'react'
import { messageOf } from '~/api/errors'
import { query } from '~/api/queries'
import { type Pending, redeemLink } from '~/api/sign-in'
import { BareCard } from '~/components/BareCard'
import { SignInSteps } from '~/components/SignInSteps'
import { useOnce } from '~/hooks/use-once'
import { useProblem } from '~/hooks/use-problem'
import { useSearchParams } from '~/hooks/use-search'
import { readNext } from '~/stores/at-issuer'
import { session } from '~/stores/session'
import { useStore } from '~/stores/store'
import { endedBecause } from '~/stores/wallet-session'
import { AppLink } from '~/ui/AppLink'
import { Redirect } from '~/ui/Redirect'
import { takeFragmentToken } from '~/util/fragment-token'
import { path, safeNext } from '~/util/path-builder'
import { firstStep, nextStep, waysIn } from '~/util/sign-in-steps'

let redeeming: { token: string; result: Promise<Pending | null> } | null = null

/** A link works once: whoever renders twice still redeems once. */
function redeemOnce(token: string): Promise<Pending | null> {
  if (redeeming?.token !== token) redeeming = { token, result: redeemLink(token, () => leave(token)) }
  return redeeming.result
}

/** Once the code was right, or was given up, nothing waits for one any more, whenever this page is drawn again. */
function leave(token: string): void {
  redeeming = { token, result: Promise.resolve(null) }
}

export function SignInPage() {
  const [search] = useSearchParams()
  const [token] = useState(takeFragmentToken)
  // Whoever is in by the code finds it said no more when the page is drawn anew for them.
  const word = useOnce('step')
  const [at, move] = useReducer(nextStep, firstStep(token !== null, word))
  const state = useQuery(query.authState())
  const why = useStore(endedBecause)
  const problem = useProblem()
  const now = useStore(session)
  // As it was when the page came: on the way to it the address is that of the next page already.
  const [next] = useState(() => safeNext(search.next ?? readNext()))
  // What is left of an earlier session is looked at first: the end of that one must not take the cookies of the new one along.
  const isKnown = now.kind !== 'unknown'
  useEffect(() => {
    if (!token || !isKnown) return
    redeemOnce(token).then(
      (pending) => move({ kind: 'proven', way: 'link', pending }),
      (error: unknown) => move({ kind: 'over', why: `This sign-in link did not work: ${messageOf(error)}` }),
    )
  }, [token, isKnown])
  // A session that began here may have ended since.
  const step = at.kind === 'in' && now.kind !== 'signed-in' ? waysIn() : at
  // Whoever is in by another session stays here until the link, and the code after it, are done with.
  if (now.kind === 'signed-in' && (step.kind === 'ways' || step.kind === 'in')) {
    // Whoever was invited can not come in again before they set a password.
    const isInvited = step.kind === 'in' && step.way === 'link' && !now.me.has_password
    return <Redirect href={isInvited ? path.account() : next} />
  }
  const isCode = step.kind === 'code'
  return (
    <BareCard title={isCode ? 'Enter the code' : 'Sign in'}>
      {(problem ?? why) && !isCode && (
        <p className="notice notice-amber" role="alert">
          {problem ?? why}
        </p>
      )}
      {step.kind === 'link' && <p role="status">Checking your link…</p>}
      {state.data?.setup_needed && (
        <p className="notice" role="status">
          There is no account here yet. Open the set-up link that the control plane printed when it started.
        </p>
      )}
      <SignInSteps
        step={step}
        next={next}
        move={(event) => {
          if (token && event.kind !== 'proven') leave(token)
          move(event)
        }}
      />
      {step.kind === 'ways' && state.data?.open_registration && (
        <p className="muted small">
          No account yet? <AppLink href={path.register()}>Make an account</AppLink>
        </p>
      )}
      {!globalThis.isSecureContext && !isCode && (
        <p className="muted small">
          This page came over plain http. Your password crosses the network unencrypted; checks run by the JavaScript fallback.
        </p>
      )}
    </BareCard>
  )
}
