// What one does about one's second factor with a code of it.
import { useState } from 'react'
import { codeRefusal, removeSecondFactor, renewRecoveryCodes } from '~/api/second-factor'
import { RecoveryCodes } from '~/components/RecoveryCodes'
import { ActionForm } from '~/forms/ActionForm'
import { CodeField } from '~/forms/CodeField'
import { Dialog } from '~/ui/Dialog'

const isOfCode = (error: unknown) => codeRefusal(error) !== null
const whyNot = (code: string) => (code.trim() ? null : 'Enter a code first')

interface Props {
  onDone: () => void
  onClose: () => void
}

export function NewRecoveryCodes({ email, onDone, onClose }: Props & { email: string }) {
  const [code, setCode] = useState('')
  const [codes, setCodes] = useState<string[] | null>(null)
  if (codes) {
    return (
      <RecoveryCodes codes={codes} email={email} onClose={onDone}>
        The codes that you had before work no more.
      </RecoveryCodes>
    )
  }
  return (
    <Dialog title="New recovery codes" onClose={onClose}>
      <ActionForm
        button="Make new ones"
        tone="primary"
        reason="none"
        whyNot={whyNot(code)}
        isDirty={code !== ''}
        act={() => renewRecoveryCodes(code)}
        isAtField={isOfCode}
        onDone={setCodes}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>You get ten new codes. Those that you have now stop to work.</p>
            <CodeField value={code} onChange={setCode} error={codeRefusal(error)} />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}

export function TurnOffSecondFactor({ onDone, onClose }: Props) {
  const [code, setCode] = useState('')
  return (
    <Dialog title="Turn off the authenticator app" onClose={onClose}>
      <ActionForm
        button="Turn off"
        tone="danger"
        reason="none"
        whyNot={whyNot(code)}
        isDirty={code !== ''}
        act={() => removeSecondFactor(code)}
        isAtField={isOfCode}
        onDone={onDone}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>Your password, a link or a wallet alone signs you in again, and your recovery codes are gone. The entry in your app is of no use any more.</p>
            <CodeField value={code} onChange={setCode} error={codeRefusal(error)} />
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}
