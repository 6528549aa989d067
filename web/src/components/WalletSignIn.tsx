import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { query } from '~/api/queries'
import type { Pending } from '~/api/sign-in'
import { walletSignIn } from '~/api/wallets'
import { WalletDialog } from '~/components/WalletDialog'
import { Button } from '~/ui/Button'

/** The way in for whoever linked a wallet; keeps its place until it is known whether the server takes any. */
export function WalletSignIn({ onProven }: { onProven: (pending: Pending | null) => void }) {
  const state = useQuery(query.authState())
  const [isOpen, setOpen] = useState(false)
  if (state.data && !state.data.wallets) return null
  if (!state.data && state.error) return null
  const done = (pending: Pending | null) => {
    setOpen(false)
    onProven(pending)
  }
  return (
    <div className="wallet-sign-in" data-waits={state.data ? undefined : ''}>
      <p className="or muted small">or</p>
      <Button onClick={() => setOpen(true)}>Continue with a wallet</Button>
      {isOpen && (
        <WalletDialog title="Sign in with a wallet" cosmosChains={state.data?.cosmos_chains ?? []} act={walletSignIn} onDone={done} onClose={() => setOpen(false)}>
          For wallets that you have linked to your account. Yours asks you to sign a text with the name of this site. That costs nothing and moves nothing.
        </WalletDialog>
      )}
    </div>
  )
}
