import { useQuery } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { messageOf } from '~/api/errors'
import { redeemLink } from '~/api/mutations'
import { query } from '~/api/queries'
import { BareCard } from '~/components/BareCard'
import { IssuerSignIn } from '~/components/IssuerSignIn'
import { WalletSignIn } from '~/components/WalletSignIn'
import { SignInForm } from '~/forms/SignInForm'
import { useProblem } from '~/hooks/use-problem'
import { useSearchParams } from '~/hooks/use-search'
import { session } from '~/stores/session'
import { useStore } from '~/stores/store'
import { endedBecause } from '~/stores/wallet-session'
import { Redirect } from '~/ui/Redirect'
import { takeFragmentToken } from '~/util/fragment-token'
import { path } from '~/util/path-builder'

let redeeming: { token: string; result: Promise<unknown> } | null = null

/** A link works once: whoever renders twice still redeems once. */
function redeemOnce(token: string): Promise<unknown> {
  if (redeeming?.token !== token) redeeming = { token, result: redeemLink(token) }
  return redeeming.result
}

/** Only paths of this console; a link can not send people elsewhere. */
const safeNext = (next: string | undefined) => (next && /^\/(?!\/|\\)/.test(next) ? next : path.overview())

export function SignInPage() {
  const router = useRouter()
  const [search] = useSearchParams()
  const [token] = useState(takeFragmentToken)
  const [failure, setFailure] = useState<string | null>(null)
  const [isRedeemed, setRedeemed] = useState(false)
  const state = useQuery(query.authState())
  const why = useStore(endedBecause)
  const problem = useProblem()
  const now = useStore(session)
  // As it was when the page came: on the way to it the address is that of the next page already.
  const [next] = useState(() => safeNext(search.next))
  // What is left of an earlier session is looked at first: the end of that one must not take the cookies of the new one along.
  const isKnown = now.kind !== 'unknown'
  useEffect(() => {
    if (!token || !isKnown) return
    redeemOnce(token).then(
      () => setRedeemed(true),
      (error: unknown) => setFailure(messageOf(error)),
    )
  }, [token, isKnown])
  const isRedeeming = token !== null && failure === null && !isRedeemed
  if (now.kind === 'signed-in' && !isRedeeming) {
    // Whoever was invited can not come in again before they set a password.
    return <Redirect href={isRedeemed && !now.me.has_password ? path.account() : next} />
  }
  const enter = () => void router.navigate({ href: next, replace: true })
  return (
    <BareCard title="Sign in">
      {(problem ?? why) && (
        <p className="notice notice-amber" role="alert">
          {problem ?? why}
        </p>
      )}
      {isRedeeming && <p role="status">Checking your link…</p>}
      {failure && (
        <div className="notice notice-amber" role="alert">
          <span>
            This sign-in link did not work: {failure}
          </span>
        </div>
      )}
      {state.data?.setup_needed && (
        <p className="notice" role="status">
          There is no account here yet. Open the set-up link that the control plane printed when it started.
        </p>
      )}
      {!isRedeeming && (
        <>
          <SignInForm onDone={enter} />
          <WalletSignIn onDone={enter} />
          <IssuerSignIn />
        </>
      )}
      {!globalThis.isSecureContext && (
        <p className="muted small">
          This page came over plain http. Your password crosses the network unencrypted; checks run by the JavaScript fallback.
        </p>
      )}
    </BareCard>
  )
}
