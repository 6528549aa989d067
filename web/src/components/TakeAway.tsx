import type { ReactNode } from 'react'
import { Facts } from '~/components/Facts'
import { ActionForm } from '~/forms/ActionForm'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'

interface Props {
  title: string
  /** What is taken away, in the words of the toast. */
  name: string
  facts: [string, ReactNode][]
  act: () => Promise<unknown>
  /** What comes of it. */
  children: ReactNode
  onClose: () => void
}

/** Asks before a way in is taken away. */
export function TakeAway({ title, name, facts, act, children, onClose }: Props) {
  const done = () => {
    showToast(`Taken away: ${name}`)
    onClose()
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <ActionForm button="Take away" tone="danger" keep="Keep it" reason="none" act={act} onDone={done} onClose={onClose}>
        <p>{children}</p>
        <Facts facts={facts} />
      </ActionForm>
    </Dialog>
  )
}
