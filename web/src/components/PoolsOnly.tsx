import { type ReactNode, useState } from 'react'
import { turnPoolsOn } from '~/api/flags'
import { ActionForm } from '~/forms/ActionForm'
import { useMe } from '~/hooks/use-me'
import { hasRole } from '~/stores/session'
import { showToast } from '~/stores/toasts'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Dialog } from '~/ui/Dialog'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState } from '~/ui/states'
import { path } from '~/util/path-builder'

/** A page of private pools. Who is not signed in, and everybody in a network that has none, is told so, and nothing is asked for. */
export function PoolsOnly({ children }: { children: ReactNode }) {
  const me = useMe()
  const [isTurning, setTurning] = useState(false)
  if (me?.private_pools) return children
  return (
    <>
      <PageHeading title="Private pools" />
      <section className="panel">
        {!me ? (
          <EmptyState title="Sign in to see private pools" action={<AppLink className="button" href={path.signIn(path.pools())}>Sign in</AppLink>} />
        ) : hasRole(me, 'admin') ? (
          <EmptyState title="Private pools are off in this network" action={<Button onClick={() => setTurning(true)}>Turn private pools on…</Button>}>
            With them nodes are kept from everybody but their own organisation and those that it is told to admit.
          </EmptyState>
        ) : (
          <EmptyState title="Private pools are off in this network">An admin can turn them on.</EmptyState>
        )}
      </section>
      {isTurning && <TurnOn onClose={() => setTurning(false)} />}
    </>
  )
}

function TurnOn({ onClose }: { onClose: () => void }) {
  const done = () => {
    showToast('Private pools are on')
    onClose()
  }
  return (
    <Dialog title="Turn private pools on" onClose={onClose}>
      <ActionForm button="Turn them on" tone="primary" reason="none" act={turnPoolsOn} onDone={done} onClose={onClose}>
        <p>Admins can then make pools and put nodes into them, and operators can enrol nodes right into one of their organisation's.</p>
        <p>No node goes into a pool by itself. Those that are in one from before stay hidden, and organisations that it admits see them again.</p>
      </ActionForm>
    </Dialog>
  )
}
