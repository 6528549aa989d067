import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { query } from '~/api/queries'
import type { OwnWallet } from '~/api/types'
import { linkWallet, unlinkWallet } from '~/api/wallets'
import { TakeAway } from '~/components/TakeAway'
import { WalletDialog } from '~/components/WalletDialog'
import { showToast } from '~/stores/toasts'
import { Button } from '~/ui/Button'
import { CopyButton } from '~/ui/CopyButton'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { Time } from '~/ui/Time'
import { Truncate } from '~/ui/Truncate'
import { ADDRESS_SHOWN, kindWord, shortAddress } from '~/util/wallets'

const SKELETON_LINES = 2
const LINK = 'link'
const isSame = (a: OwnWallet, b: OwnWallet) => a.kind === b.kind && a.address === b.address

/** The wallets that sign somebody in, and the ways to have more or fewer. */
export function OwnWallets() {
  const wallets = useQuery(query.wallets())
  const state = useQuery(query.authState())
  const [open, setOpen] = useState<OwnWallet | typeof LINK | null>(null)
  const place = useRef<{ wallet: OwnWallet; at: number } | null>(null)
  const rows = wallets.data?.items
  // A row that goes takes the focus along. Its neighbour gets it, or the button above where it was the last.
  useEffect(() => {
    const { current } = place
    if (!current || !rows || open !== null || rows.some((row) => isSame(row, current.wallet))) return
    place.current = null
    if (document.activeElement !== document.body) return
    const buttons = [...document.querySelectorAll<HTMLElement>('[data-wallet]')]
    const next = buttons[Math.min(current.at, buttons.length - 1)] ?? document.querySelector<HTMLElement>('[data-link-wallet]')
    next?.focus()
  }, [rows, open])
  const whyNot = state.data ? (state.data.wallets ? null : 'Wallets sign for a site with a name: the control plane needs its https address, public_url') : 'It is not known yet whether this control plane takes wallets'
  const linked = (address: string) => {
    showToast(`Linked: ${shortAddress(address)}`)
    setOpen(null)
  }
  return (
    <section className="panel" aria-labelledby="wallets">
      <header className="panel-head">
        <h2 id="wallets">Wallets</h2>
        <Button data-link-wallet="" disabledReason={whyNot} onClick={() => setOpen(LINK)}>
          Link a wallet…
        </Button>
      </header>
      <RefreshFailed query={wallets} what="your wallets" />
      <QueryStates query={wallets} what="your wallets" skeleton={<Skeleton lines={SKELETON_LINES} className="wallets-skeleton" onRetry={() => void wallets.refetch()} />}>
        {({ items }) =>
          items.length > 0 ? (
            <ul className="wallets">
              {items.map((wallet, at) => (
                <li key={`${wallet.kind} ${wallet.address}`}>
                  <span className="wallet-kind">{kindWord(wallet.kind)}</span>
                  <span className="wallet-address mono">
                    <Truncate text={wallet.address} max={ADDRESS_SHOWN} />
                    <CopyButton isCompact text={wallet.address} what="address" />
                  </span>
                  <span className="wallet-linked muted small">
                    Linked <Time at={wallet.linked_at} />
                  </span>
                  <Button
                    data-wallet=""
                    aria-label={`Take away ${kindWord(wallet.kind)} ${shortAddress(wallet.address)}…`}
                    onClick={() => {
                      place.current = { wallet, at }
                      setOpen(wallet)
                    }}
                  >
                    Take away…
                  </Button>
                </li>
              ))}
            </ul>
          ) : (
            <EmptyState title="No wallets">A wallet that you link signs you in as your password does. It stays yours: nothing here can move what it holds.</EmptyState>
          )
        }
      </QueryStates>
      {open === LINK && (
        <WalletDialog title="Link a wallet" cosmosChains={state.data?.cosmos_chains ?? []} act={linkWallet} onDone={linked} onClose={() => setOpen(null)}>
          Your wallet asks you to sign a text with the name of this site. That costs nothing and moves nothing. From then on whoever has the wallet can sign in as you.
        </WalletDialog>
      )}
      {open !== null && open !== LINK && (
        <TakeAway
          title="Take this wallet away"
          name={shortAddress(open.address)}
          facts={[
            ['Kind', kindWord(open.kind)],
            ['Address', <span key="address" className="mono break">{open.address}</span>],
            ['Linked', <Time key="at" at={open.linked_at} form="full" />],
          ]}
          act={() => unlinkWallet(open.kind, open.address)}
          onClose={() => setOpen(null)}
        >
          It signs you in no more. Your other sign-ins by a wallet end, whichever wallet it was; this browser stays signed in.
        </TakeAway>
      )}
    </section>
  )
}
