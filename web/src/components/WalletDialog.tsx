import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { Step } from '~/api/wallets'
import { Refusal } from '~/components/Refusal'
import { useWallets } from '~/hooks/use-wallets'
import { Button } from '~/ui/Button'
import { Dialog } from '~/ui/Dialog'
import { EmptyState } from '~/ui/states'
import { kindWord } from '~/util/wallets'
import type { Wallet } from '~/wallet/wallet'

type State = { kind: 'choosing' } | { kind: 'busy'; id: string; name: string; step: Step } | { kind: 'failed'; error: unknown }

const WAITS: Record<Step, (name: string) => string> = {
  connect: (name) => `Choose the account in ${name}…`,
  sign: (name) => `Read the text in ${name} and sign it…`,
  check: () => 'Checking the signature…',
}

interface Props<T> {
  title: string
  cosmosChains: readonly string[]
  act: (wallet: Wallet, proving: { tell: (step: Step) => void; signal: AbortSignal }) => Promise<T>
  onDone: (result: T, wallet: Wallet) => void
  onClose: () => void
  /** What signing does here. */
  children: ReactNode
}

/** Chooses one of the browser's wallets and waits for what it signs. To close it is to take the wish back. */
export function WalletDialog<T>({ title, cosmosChains, act, onDone, onClose, children }: Props<T>) {
  const wallets = useWallets(cosmosChains)
  const [state, setState] = useState<State>({ kind: 'choosing' })
  const open = useRef<AbortController | null>(null)
  useEffect(() => () => open.current?.abort(), [])
  const choose = async (wallet: Wallet) => {
    const { signal } = (open.current = new AbortController())
    const tell = (step: Step) => signal.aborted || setState({ kind: 'busy', id: wallet.id, name: wallet.name, step })
    try {
      const result = await act(wallet, { tell, signal })
      if (!signal.aborted) onDone(result, wallet)
    } catch (error) {
      if (!signal.aborted) setState({ kind: 'failed', error })
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      {wallets.length > 0 ? (
        <>
          <p className="muted">{children}</p>
          <ul className="wallet-choice">
            {wallets.map((wallet, at) => (
              <li key={`${wallet.id} ${at}`}>
                <Button
                  isBusy={state.kind === 'busy' && state.id === wallet.id}
                  disabledReason={state.kind === 'busy' && state.id !== wallet.id ? `${state.name} is asked at the moment` : null}
                  onClick={() => void choose(wallet)}
                >
                  <Picture wallet={wallet} />
                  <span className="wallet-words">
                    <span>{wallet.name}</span>
                    <span className="muted small">{kindWord(wallet.kind)}</span>
                  </span>
                </Button>
              </li>
            ))}
          </ul>
          <div className="wallet-state">
            <p role="status">{state.kind === 'busy' ? WAITS[state.step](state.name) : ''}</p>
            {state.kind === 'failed' && <Refusal error={state.error} />}
          </div>
        </>
      ) : (
        <EmptyState title="No wallet in this browser">
          Wallets are extensions of a browser, or browsers of their own on a phone. Open this page where yours is; it is listed here as soon as it is there.
        </EmptyState>
      )}
    </Dialog>
  )
}

function Picture({ wallet }: { wallet: Wallet }) {
  return wallet.icon ? (
    <img className="wallet-picture" src={wallet.icon} alt="" width={24} height={24} />
  ) : (
    <span className="wallet-picture wallet-letter" aria-hidden="true">
      {wallet.name.slice(0, 1).toUpperCase()}
    </span>
  )
}
