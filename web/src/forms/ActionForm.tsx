import { type FormEvent, type ReactNode, useState } from 'react'
import { fieldOf, messageOf } from '~/api/errors'
import { Refusal } from '~/components/Refusal'
import { useSubmit } from '~/hooks/use-submit'
import { Button } from '~/ui/Button'
import { TextField } from '~/ui/Field'

interface Props<T> {
  button: string
  tone: 'danger' | 'primary'
  /** The way out. */
  keep?: string
  /** Whether why is asked for, which goes to the audit log. */
  reason: 'required' | 'optional' | 'none'
  /** Why it cannot be sent yet. */
  whyNot?: string | null
  /** Whether something was typed or chosen that would be lost. */
  isDirty?: boolean
  act: (reason: string) => Promise<T>
  /** Whether a field shows itself what the server has against it. */
  isAtField?: (error: unknown) => boolean
  onDone: (result: T) => void
  onClose: () => void
  /** What happens, and further fields; given what the server refused. */
  children: ReactNode | ((error: unknown) => ReactNode)
}

/** One change: what it does, why, and the two ways out. */
export function ActionForm<T>({ button, tone, keep = 'Keep as it is', reason: asks, whyNot = null, isDirty = false, act, isAtField = () => false, onDone, onClose, children }: Props<T>) {
  const [text, setText] = useState('')
  const reason = text.trim()
  const acting = useSubmit({ mutationFn: () => act(reason), onSuccess: onDone })
  const lacks = whyNot ?? (asks === 'required' && !reason ? 'Write a reason first' : null)
  const isOfReason = asks !== 'none' && fieldOf(acting.error) === 'reason'
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (!lacks) acting.submit()
  }
  return (
    <form className="form" onSubmit={submit} data-dirty={isDirty || text ? '' : undefined}>
      {typeof children === 'function' ? children(acting.error) : children}
      {asks !== 'none' && (
        <TextField
          label={asks === 'required' ? 'Reason' : 'Reason (optional)'}
          required={asks === 'required'}
          maxLength={500}
          value={text}
          onChange={(event) => setText(event.target.value)}
          hint="Goes to the audit log."
          error={isOfReason ? messageOf(acting.error) : null}
        />
      )}
      {acting.error && !isOfReason && !isAtField(acting.error) && <Refusal error={acting.error} />}
      <div className="form-buttons">
        <Button onClick={onClose}>{keep}</Button>
        <Button tone={tone} type="submit" isBusy={acting.isPending} disabledReason={lacks}>
          {button}
        </Button>
      </div>
    </form>
  )
}
