import { useRouter } from '@tanstack/react-router'
import { useState } from 'react'
import { fieldOf, messageOf } from '~/api/errors'
import { deleteAccount } from '~/api/own-data'
import type { Me } from '~/api/types'
import { ActionForm } from '~/forms/ActionForm'
import { OwnPasswordField, isOfPassword } from '~/forms/OwnPasswordField'
import { Dialog } from '~/ui/Dialog'
import { TextField } from '~/ui/Field'
import { path } from '~/util/path-builder'

const isOfEmail = (error: unknown) => fieldOf(error) === 'email'

/** Deletes one's own account, once its address is typed. */
export function DeleteAccount({ me, onClose }: { me: Me; onClose: () => void }) {
  const router = useRouter()
  const [email, setEmail] = useState('')
  const [password, setPassword] = useState('')
  const leave = () => router.navigate({ href: path.signIn(), replace: true })
  return (
    <Dialog title="Delete your account" onClose={onClose}>
      <ActionForm
        button="Delete for good"
        tone="danger"
        keep="Keep my account"
        reason="none"
        whyNot={!email.trim() ? 'Type your e-mail address first' : me.has_password && !password ? 'Enter your password first' : null}
        isDirty={email !== '' || password !== ''}
        act={() => deleteAccount(email, password, leave)}
        isAtField={(error) => isOfEmail(error) || isOfPassword(error)}
        // Where it led to, this dialog is no more.
        onDone={() => {}}
        onClose={onClose}
      >
        {(error) => (
          <>
            <p>At once, and for good: your sign-ins, wallets, accounts elsewhere, API keys and memberships are gone, and enrolment tokens that you made stop to work. Organisations in which nobody else is are closed.</p>
            <p>The audit log keeps what you decided for nodes, organisations and other people; of the rest it forgets your address and the details. Nodes and receipts are the organisations', and stay.</p>
            <TextField
              label="Your e-mail address"
              type="email"
              autoComplete="off"
              required
              hint={`Type ${me.email} to show that you mean it.`}
              value={email}
              error={isOfEmail(error) ? messageOf(error) : null}
              onChange={(event) => setEmail(event.target.value)}
            />
            {me.has_password && <OwnPasswordField value={password} onChange={setPassword} error={error} />}
          </>
        )}
      </ActionForm>
    </Dialog>
  )
}
