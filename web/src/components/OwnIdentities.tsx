import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { unlinkIdentity } from '~/api/issuers'
import { query } from '~/api/queries'
import type { Issuer, OwnIdentity } from '~/api/types'
import { IssuerButton } from '~/components/IssuerButton'
import { TakeAway } from '~/components/TakeAway'
import { useOnce } from '~/hooks/use-once'
import { showToast } from '~/stores/toasts'
import { Button } from '~/ui/Button'
import { EmptyState, QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { Time } from '~/ui/Time'
import { Truncate } from '~/ui/Truncate'
import { accountName, issuerName } from '~/util/issuers'

const SKELETON_LINES = 2
const NAME_SHOWN = 44

/** Whoever comes back from an issuer with an account there is told so, once the list says it, too. */
function useLinkedToast(rows: OwnIdentity[] | undefined, issuers: Issuer[] | undefined) {
  const linked = useOnce('linked')
  const isTold = useRef(false)
  const issuer = issuers?.find(({ id }) => id === linked)
  const row = issuer && rows?.findLast(({ issuer_name }) => issuer_name === issuer.name)
  useEffect(() => {
    if (!row || isTold.current) return
    isTold.current = true
    showToast(`Linked: ${accountName(row)}`)
  }, [row])
}

/** The accounts elsewhere that sign somebody in, and the ways to have more or fewer. Nothing where no issuer is known. */
export function OwnIdentities() {
  const identities = useQuery(query.identities())
  const state = useQuery(query.authState())
  const [open, setOpen] = useState<OwnIdentity | null>(null)
  const place = useRef<{ id: string; at: number } | null>(null)
  const rows = identities.data?.items
  useLinkedToast(rows, state.data?.issuers)
  // A row that goes takes the focus along. Its neighbour gets it, or the first button that links one.
  useEffect(() => {
    const { current } = place
    if (!current || !rows || open !== null || rows.some(({ id }) => id === current.id)) return
    place.current = null
    if (document.activeElement !== document.body) return
    const buttons = [...document.querySelectorAll<HTMLElement>('[data-identity]')]
    const next = buttons[Math.min(current.at, buttons.length - 1)] ?? document.querySelector<HTMLElement>('[data-issuer]')
    next?.focus()
  }, [rows, open])
  const issuers = state.data?.issuers ?? []
  if (issuers.length === 0 && (rows ?? []).length === 0) return null
  return (
    <section className="panel" aria-labelledby="identities">
      <header className="panel-head">
        <h2 id="identities">Accounts elsewhere</h2>
      </header>
      <RefreshFailed query={identities} what="your accounts elsewhere" />
      <QueryStates query={identities} what="your accounts elsewhere" skeleton={<Skeleton lines={SKELETON_LINES} className="wallets-skeleton" onRetry={() => void identities.refetch()} />}>
        {({ items }) =>
          items.length > 0 ? (
            <ul className="wallets">
              {items.map((identity, at) => (
                <li key={identity.id}>
                  <span className="wallet-kind break">{issuerName(identity)}</span>
                  <span className="wallet-address">
                    <Truncate text={accountName(identity)} max={NAME_SHOWN} />
                  </span>
                  <span className="wallet-linked muted small">
                    {identity.issuer_name === null && 'Not in use here any more, so it does not sign you in. '}
                    Linked <Time at={identity.linked_at} />
                  </span>
                  <Button
                    data-identity=""
                    aria-label={`Take away ${accountName(identity)} of ${issuerName(identity)}…`}
                    onClick={() => {
                      place.current = { id: identity.id, at }
                      setOpen(identity)
                    }}
                  >
                    Take away…
                  </Button>
                </li>
              ))}
            </ul>
          ) : (
            <EmptyState title="No accounts elsewhere">An account that you link signs you in as your password does. The other site learns that you sign in here, and nothing else.</EmptyState>
          )
        }
      </QueryStates>
      {issuers.length > 0 && (
        <div className="issuers">
          {issuers.map((issuer) => (
            <IssuerButton key={issuer.id} issuer={issuer} purpose="link">
              Link an account at {issuer.name}…
            </IssuerButton>
          ))}
        </div>
      )}
      {open && (
        <TakeAway
          title="Take this account away"
          name={accountName(open)}
          facts={[
            ['At', issuerName(open)],
            ['Account', <span key="account" className="break">{accountName(open)}</span>],
            ['Its name there', <span key="subject" className="mono break">{open.subject}</span>],
            ['Linked', <Time key="at" at={open.linked_at} form="full" />],
          ]}
          act={() => unlinkIdentity(open.id)}
          onClose={() => setOpen(null)}
        >
          It signs you in here no more. Your other sign-ins by accounts elsewhere end, whichever account it was; this browser stays signed in. The account itself stays as it is.
        </TakeAway>
      )}
    </section>
  )
}
