import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { downloadOwnData } from '~/api/own-data'
import type { Me } from '~/api/types'
import { DeleteAccount } from '~/components/DeleteAccount'
import { Refusal } from '~/components/Refusal'
import { Button } from '~/ui/Button'

/** All that is kept of oneself: taken along, and deleted with the account. */
export function OwnData({ me }: { me: Me }) {
  const [isDeleting, setDeleting] = useState(false)
  const saving = useMutation({ mutationFn: downloadOwnData })
  return (
    <section className="panel" aria-labelledby="own-data">
      <header className="panel-head">
        <h2 id="own-data">Your data</h2>
        <div className="panel-tools">
          <Button icon="download" isBusy={saving.isPending} onClick={() => saving.mutate()}>
            Download my data
          </Button>
          <Button tone="danger" onClick={() => setDeleting(true)}>
            Delete my account…
          </Button>
        </div>
      </header>
      <p>
        One file has all that is kept of you: your account, sign-ins, wallets and keys, and what the audit log has of you. Of long lists it has the newest 5,000 entries. Nodes and
        receipts are your organisations', and are not in it.
      </p>
      {saving.error && <Refusal error={saving.error} />}
      {isDeleting && <DeleteAccount me={me} onClose={() => setDeleting(false)} />}
    </section>
  )
}
