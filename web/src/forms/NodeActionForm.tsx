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
  text: { title: string; button: string; effect: (nodeId: string) => string; tone: 'danger' | 'primary'; isFinal: boolean }
  onDone: () => void
}

export function NodeActionForm({ nodeId, action, text, onDone }: Props) {
  const [reason, setReason] = useState('')
  const [typed, setTyped] = useState('')
  const act = useSubmit({
    mutationFn: () => actOnNode(nodeId, action, reason.trim()),
    onSuccess: () => {
      showToast(`${text.title}: done for ${nodeId}`)
      onDone()
    },
  })
  const isMeant = !text.isFinal || typed.trim() === nodeId
  const lacks = reason.trim() ? (isMeant ? null : 'Type the id of the node first') : 'Write a reason first'
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (!lacks) act.submit()
  }
  return (
    <form className="form" onSubmit={submit} data-dirty={reason || typed ? '' : undefined}>
      <p>{text.effect(nodeId)}</p>
      <TextField
        label="Reason"
        required
        maxLength={500}
        value={reason}
        onChange={(event) => setReason(event.target.value)}
        hint="Goes to the audit log and to the node's history. The operator reads it too."
      />
      {text.isFinal && (
        <TextField label={`Type ${nodeId} to say that you mean it`} required spellCheck={false} autoComplete="off" value={typed} onChange={(event) => setTyped(event.target.value)} />
      )}
      {act.error && <Refusal error={act.error} />}
      <div className="form-buttons">
        <Button onClick={onDone}>Keep as it is</Button>
        <Button tone={text.tone} type="submit" isBusy={act.isPending} disabledReason={lacks}>
          {text.button}
        </Button>
      </div>
    </form>
  )
}
