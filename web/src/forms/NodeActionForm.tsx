import { type FormEvent, useState } from 'react'
import { actOnNode } from '~/api/mutations'
import type { NodeAction } from '~/api/types'
import { Refusal } from '~/components/Refusal'
import { showToast } from '~/stores/toasts'
import { useSubmit } from '~/hooks/use-submit'
import { Button } from '~/ui/Button'
import { TextField } from '~/ui/Field'

interface Props {
  nodeId: string
  action: NodeAction
  text: { title: string; button: string; effect: (nodeId: string) => string; tone: 'danger' | 'primary' }
  onDone: () => void
}

export function NodeActionForm({ nodeId, action, text, onDone }: Props) {
  const [reason, setReason] = useState('')
  const act = useSubmit({
    mutationFn: () => actOnNode(nodeId, action, reason.trim()),
    onSuccess: () => {
      showToast(`${text.title}: done for ${nodeId}`)
      onDone()
    },
  })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (reason.trim()) act.submit()
  }
  return (
    <form className="form" onSubmit={submit} data-dirty={reason ? '' : undefined}>
      <p>{text.effect(nodeId)}</p>
      <TextField
        label="Reason"
        required
        maxLength={500}
        value={reason}
        onChange={(event) => setReason(event.target.value)}
        hint="Goes to the audit log and to the node's history. The operator reads it too."
      />
      {act.error && <Refusal error={act.error} />}
      <div className="form-buttons">
        <Button onClick={onDone}>Keep as it is</Button>
        <Button tone={text.tone} type="submit" isBusy={act.isPending} disabledReason={reason.trim() ? null : 'Write a reason first'}>
          {text.button}
        </Button>
      </div>
    </form>
  )
}
