import { IssuerSignIn } from '~/components/IssuerSignIn'
import { WalletSignIn } from '~/components/WalletSignIn'
import { SignInForm } from '~/forms/SignInForm'
import { Dialog } from '~/ui/Dialog'

/** The session ended under the page. Nothing on the page is lost: sign in and go on. */
export function SessionDialog({ email }: { email: string }) {
  return (
    <Dialog title="Sign in again" isSticky onClose={() => {}}>
      <p className="muted">Your session ended. The page stays as it is, with everything you typed.</p>
      <p className="muted small">If signing in fails, an admin can say whether your account is still open, and make you a new sign-in link.</p>
      <SignInForm email={email} onDone={() => {}} />
      <WalletSignIn onDone={() => {}} />
      <IssuerSignIn note="This leaves the page, and what you typed is lost." />
    </Dialog>
  )
}
