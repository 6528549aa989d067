import type { FormEvent } from 'react'
import { messageOf } from '~/api/errors'
import type { OwnWallet } from '~/api/types'
import { unlinkWallet } from '~/api/wallets'
import { Facts } from '~/components/Facts'
import { useSubmit } from '~/hooks/use-submit'
import { showToast } from '~/stores/toasts'
import { Button } from '~/ui/Button'
import { Dialog } from '~/ui/Dialog'
import { Time } from '~/ui/Time'
import { kindWord, shortAddress } from '~/util/wallets'

interface Props {
  wallet: OwnWallet
  onTaken: () => void
  onClose: () => void
}

export function TakeAwayWallet({ wallet, onTaken, onClose }: Props) {
  const done = () => {
    showToast(`Taken away: ${shortAddress(wallet.address)}`)
    onTaken()
  }
  const taking = useSubmit({ mutationFn: () => unlinkWallet(wallet.kind, wallet.address), onSuccess: done })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    taking.submit()
  }
  return (
    <Dialog title="Take this wallet away" onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <p>It signs you in no more. Your other sign-ins by a wallet end, whichever wallet it was; this browser stays signed in.</p>
        <Facts
          facts={[
            ['Kind', kindWord(wallet.kind)],
            ['Address', <span key="address" className="mono break">{wallet.address}</span>],
            ['Linked', <Time key="at" at={wallet.linked_at} form="full" />],
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
