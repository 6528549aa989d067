import type { ReactNode } from 'react'
import { type Fact, Facts } from '~/components/Facts'
import { ActionForm } from '~/forms/ActionForm'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'

interface Props {
  title: string
  /** What is taken away, in the words of the toast. */
  name: string
  facts: Fact[]
  act: () => Promise<unknown>
  button?: string
  /** What the toast says was done. */
  done?: string
  /** What comes of it. */
  children: ReactNode
  onClose: () => void
}

/** Asks before a way in is taken away, for a person or a machine. */
export function TakeAway({ title, name, facts, act, button = 'Take away', done: word = 'Taken away', children, onClose }: Props) {
  const done = () => {
    showToast(`${word}: ${name}`)
    onClose()
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <ActionForm button={button} tone="danger" keep="Keep it" reason="none" act={act} onDone={done} onClose={onClose}>
        <p>{children}</p>
        <Facts facts={facts} />
      </ActionForm>
    </Dialog>
  )
}
