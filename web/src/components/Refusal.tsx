import { asksToSignInAgain, messageOf } from '~/api/errors'
import { signInAsked } from '~/stores/session'
import { Button } from '~/ui/Button'

/** What the server has against what was sent, at its form. Where it wants a newer sign-in, the way to one. */
export function Refusal({ error }: { error: unknown }) {
  return (
    <div className="refusal" role="alert">
      <p className="field-error">{messageOf(error)}</p>
      {asksToSignInAgain(error) && <SignInAgain />}
    </div>
  )
}

/** Opens the sign-in over the page, where what was typed stays. */
export function SignInAgain() {
  return <Button onClick={() => signInAsked.set(true)}>Sign in again…</Button>
}
