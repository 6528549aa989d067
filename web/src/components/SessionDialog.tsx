import { useEffect, useReducer } from 'react'
import { SignInSteps } from '~/components/SignInSteps'
import { signInAsked } from '~/stores/session'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'
import { type SignInStep, nextStep, waysIn } from '~/util/sign-in-steps'

const LOST = 'This leaves the page, and what you typed is lost.'
const titleOf = (step: SignInStep) => (step.kind === 'code' ? 'Enter the code' : 'Sign in again')

const here = () => `${location.pathname}${location.search}`

/** The session ended under the page. Nothing on the page is lost: sign in and go on. */
export function SessionDialog({ email }: { email: string }) {
  const [step, move] = useReducer(nextStep, email, waysIn)
  return (
    <Dialog title={titleOf(step)} isSticky onClose={() => {}}>
      {step.kind === 'ways' && (
        <>
          <p className="muted">Your session ended. The page stays as it is, with everything you typed.</p>
          <p className="muted small">If signing in fails, an admin can say whether your account is still open, and make you a new sign-in link.</p>
        </>
      )}
      <SignInSteps step={step} move={move} next={here()} issuerNote={LOST} />
    </Dialog>
  )
}

/** What somebody wants to do takes a newer sign-in than theirs. Whoever changes their mind stays signed in as they were. */
export function NewerSignIn({ email }: { email: string }) {
  const [step, move] = useReducer(nextStep, email, waysIn)
  const isIn = step.kind === 'in'
  useEffect(() => {
    if (!isIn) return
    signInAsked.set(false)
    showToast('Signed in again. Now send it once more.')
  }, [isIn])
  return (
    <Dialog title={titleOf(step)} onClose={() => signInAsked.set(false)}>
      {step.kind === 'ways' && <p className="muted">What you want to do takes a sign-in of the last 15 minutes. The page stays as it is, with everything you typed.</p>}
      <SignInSteps step={step} move={move} next={here()} issuerNote={LOST} />
    </Dialog>
  )
}
