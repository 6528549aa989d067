import { Suspense, lazy, useEffect, useRef, useState } from 'react'
import { asksToSignInAgain } from '~/api/errors'
import { codeRefusal, offerSecondFactor, setSecondFactor } from '~/api/second-factor'
import type { SecondFactorOffer } from '~/api/types'
import { RecoveryCodes } from '~/components/RecoveryCodes'
import { SignInAgain } from '~/components/Refusal'
import { ActionForm } from '~/forms/ActionForm'
import { CodeField } from '~/forms/CodeField'
import { OwnPasswordField, isOfPassword } from '~/forms/OwnPasswordField'
import { useMe } from '~/hooks/use-me'
import { useSubmit } from '~/hooks/use-submit'
import { CopyButton } from '~/ui/CopyButton'
import { Dialog } from '~/ui/Dialog'
import { ErrorCard, Skeleton } from '~/ui/states'
import { chunk } from '~/util/chunk'
import { grouped } from '~/util/second-factor'

const QrPicture = lazy(() => chunk(() => import('~/components/QrPicture')).then((module) => ({ default: module.QrPicture })))

const SKELETON_LINES = 8

interface Props {
  email: string
  onDone: () => void
  onClose: () => void
}

/** From a secret for the app, over the first code that shows that the app has it, to the recovery codes. */
export function SetUpSecondFactor({ email, onDone, onClose }: Props) {
  const [offers, setOffers] = useState(1)
  const [codes, setCodes] = useState<string[] | null>(null)
  if (codes) {
    return (
      <RecoveryCodes codes={codes} email={email} onClose={onDone}>
        Your app is set up. All your other sign-ins ended; this browser stays signed in.
      </RecoveryCodes>
    )
  }
  return (
    <Dialog title="Set up an authenticator app" onClose={onClose}>
      <Offer key={offers} isAgain={offers > 1} onSet={(set) => (set ? setCodes(set) : setOffers((n) => n + 1))} onClose={onClose} />
    </Dialog>
  )
}

interface OfferProps {
  /** The secret before this one came to nothing. */
  isAgain: boolean
  onSet: (codes: string[] | null) => void
  onClose: () => void
}

/** One secret, which is asked for as soon as this is shown. */
function Offer({ isAgain, onSet, onClose }: OfferProps) {
  const [offer, setOffer] = useState<SecondFactorOffer | null>(null)
  const { submit: ask, error, isPending } = useSubmit({ mutationFn: offerSecondFactor, onSuccess: setOffer })
  const notice = useRef<HTMLParagraphElement>(null)
  const isTooOld = asksToSignInAgain(error)
  const me = useMe()
  // Once more for whoever signed in over the page, as this asked for.
  useEffect(() => {
    if (me) ask()
  }, [ask, me])
  // The button that was pressed is gone with the secret before.
  useEffect(() => notice.current?.focus(), [])
  return (
    <>
      {isAgain && (
        <p ref={notice} tabIndex={-1} className="notice notice-amber" role="alert">
          That took too long, so here is another secret. Take the entry that you made out of your app, and begin with this one.
        </p>
      )}
      {offer ? (
        <FirstCode offer={offer} onSet={onSet} onClose={onClose} />
      ) : error && !isPending ? (
        <>
          <ErrorCard what="a secret for your app" error={error} {...(!isTooOld && { onRetry: ask })} />
          {isTooOld && <SignInAgain />}
        </>
      ) : (
        <Skeleton lines={SKELETON_LINES} className="factor-skeleton" />
      )}
    </>
  )
}

function FirstCode({ offer, onSet, onClose }: { offer: SecondFactorOffer } & Omit<OfferProps, 'isAgain'>) {
  const [code, setCode] = useState('')
  const [password, setPassword] = useState('')
  const hasPassword = useMe()?.has_password ?? false
  return (
    <ActionForm
      button="Turn on"
      tone="primary"
      keep="Cancel"
      reason="none"
      whyNot={!code.trim() ? 'Enter the code that the app shows first' : hasPassword && !password ? 'Enter your password first' : null}
      isDirty
      act={() => setSecondFactor(offer.sealed, code, password)}
      isAtField={(error) => codeRefusal(error) !== null || isOfPassword(error)}
      onDone={onSet}
      onClose={onClose}
    >
      {(error) => (
        <>
          <p>Scan the picture with an authenticator app on your phone, or type the secret into it. Nothing changes before you have entered a code from it.</p>
          <div className="factor-offer">
            <Suspense fallback={<span className="qr" />}>
              <QrPicture text={offer.uri} label="QR code of the secret, for the camera of your phone" />
            </Suspense>
            <div className="command">
              <pre tabIndex={0} aria-label="Secret">
                {grouped(offer.secret)}
              </pre>
              <CopyButton text={offer.secret} what="secret" />
            </div>
          </div>
          <CodeField isOfApp value={code} onChange={setCode} error={codeRefusal(error)} />
          {hasPassword && <OwnPasswordField value={password} onChange={setPassword} error={error} />}
        </>
      )}
    </ActionForm>
  )
}
