import type { FormEvent } from 'react'
import { messageOf } from '~/api/errors'
import { unlinkIdentity } from '~/api/issuers'
import type { OwnIdentity } from '~/api/types'
import { Facts } from '~/components/Facts'
import { useSubmit } from '~/hooks/use-submit'
import { showToast } from '~/stores/toasts'
import { Button } from '~/ui/Button'
import { Dialog } from '~/ui/Dialog'
import { Time } from '~/ui/Time'
import { accountName, issuerName } from '~/util/issuers'

interface Props {
  identity: OwnIdentity
  onTaken: () => void
  onClose: () => void
}

export function TakeAwayIdentity({ identity, onTaken, onClose }: Props) {
  const done = () => {
    showToast(`Taken away: ${accountName(identity)}`)
    onTaken()
  }
  const taking = useSubmit({ mutationFn: () => unlinkIdentity(identity.id), onSuccess: done })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    taking.submit()
  }
  return (
    <Dialog title="Take this account away" onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <p>It signs you in here no more. Your other sign-ins by accounts elsewhere end, whichever account it was; this browser stays signed in. The account itself stays as it is.</p>
        <Facts
          facts={[
            ['At', issuerName(identity)],
            ['Account', <span key="account" className="break">{accountName(identity)}</span>],
            ['Its name there', <span key="subject" className="mono break">{identity.subject}</span>],
            ['Linked', <Time key="at" at={identity.linked_at} form="full" />],
          ]}
        />
        {taking.error && (
          <p className="field-error" role="alert">
            {messageOf(taking.error)}
          </p>
        )}
        <div className="form-buttons">
          <Button onClick={onClose}>Keep it</Button>
          <Button tone="danger" type="submit" isBusy={taking.isPending}>
            Take away
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
