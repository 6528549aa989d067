import type { Dispatch } from 'react'
import { IssuerSignIn } from '~/components/IssuerSignIn'
import { WalletSignIn } from '~/components/WalletSignIn'
import { CodeSignInForm } from '~/forms/CodeSignInForm'
import { SignInForm } from '~/forms/SignInForm'
import type { SignInEvent, SignInStep } from '~/util/sign-in-steps'

interface Props {
  step: SignInStep
  move: Dispatch<SignInEvent>
  /** Where whoever goes to an issuer goes on. */
  next: string
  /** What is lost by going there. */
  issuerNote?: string
}

/** The ways in, and after each of them the code, where the account asks for one. */
export function SignInSteps({ step, move, next, issuerNote }: Props) {
  if (step.kind === 'code') {
    return <CodeSignInForm pending={step.pending} onIn={() => move({ kind: 'entered' })} onOver={(why) => move({ kind: 'over', why })} onAgain={() => move({ kind: 'again' })} />
  }
  if (step.kind !== 'ways') return null
  return (
    <>
      {step.again && (
        <p className="notice notice-amber" role="alert">
          {step.again}
        </p>
      )}
      <SignInForm email={step.email} isBack={step.isBack} onProven={(pending, email) => move({ kind: 'proven', way: 'password', pending, email })} />
      <WalletSignIn onProven={(pending) => move({ kind: 'proven', way: 'wallet', pending })} />
      <IssuerSignIn next={next} {...(issuerNote && { note: issuerNote })} />
    </>
  )
}
