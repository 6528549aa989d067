import type { FormEvent, ReactNode } from 'react'
import { Facts } from '~/components/Facts'
import { Refusal } from '~/components/Refusal'
import { useSubmit } from '~/hooks/use-submit'
import { showToast } from '~/stores/toasts'
import { Button } from '~/ui/Button'
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
  const taking = useSubmit({ mutationFn: act, onSuccess: done })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    taking.submit()
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <p>{children}</p>
        <Facts facts={facts} />
        {taking.error && <Refusal error={taking.error} />}
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
