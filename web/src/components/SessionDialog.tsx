import { useReducer } from 'react'
import { SignInSteps } from '~/components/SignInSteps'
import { Dialog } from '~/ui/Dialog'
import { nextStep, waysIn } from '~/util/sign-in-steps'

/** The session ended under the page. Nothing on the page is lost: sign in and go on. */
export function SessionDialog({ email }: { email: string }) {
  const [step, move] = useReducer(nextStep, email, waysIn)
  return (
    <Dialog title={step.kind === 'code' ? 'Enter the code' : 'Sign in again'} isSticky onClose={() => {}}>
      {step.kind === 'ways' && (
        <>
          <p className="muted">Your session ended. The page stays as it is, with everything you typed.</p>
          <p className="muted small">If signing in fails, an admin can say whether your account is still open, and make you a new sign-in link.</p>
        </>
      )}
      <SignInSteps step={step} move={move} issuerNote="This leaves the page, and what you typed is lost." />
    </Dialog>
  )
}
