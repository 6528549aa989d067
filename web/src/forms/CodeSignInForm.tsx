import { type FormEvent, useEffect, useRef, useState } from 'react'
import { messageOf } from '~/api/errors'
import { codeRefusal } from '~/api/second-factor'
import { type Entered, type Pending, enterCode } from '~/api/sign-in'
import { CodeField } from '~/forms/CodeField'
import { useSubmit } from '~/hooks/use-submit'
import { showToast } from '~/stores/toasts'
import { Button } from '~/ui/Button'
import { codesLeft, isAppCode } from '~/util/second-factor'

interface Props {
  pending: Pending
  onIn: () => void
  onOver: (why: string) => void
  onAgain: () => void
}

/** The second step of a sign-in. The field has the focus, and a code that was refused is chosen, to be typed over. */
export function CodeSignInForm({ pending, onIn, onOver, onAgain }: Props) {
  const [code, setCode] = useState('')
  const field = useRef<HTMLInputElement>(null)
  const done = (entered: Entered) => {
    if (!entered.isIn) return onOver(entered.why)
    const left = entered.me.second_factor?.recovery_codes_left
    if (left !== undefined && !isAppCode(code)) showToast(`That recovery code is used up: ${codesLeft(left).toLowerCase()}`)
    onIn()
  }
  const { submit: enter, error, isPending } = useSubmit({ mutationFn: () => enterCode(pending, code), onSuccess: done })
  const refusal = codeRefusal(error)
  useEffect(() => field.current?.focus(), [])
  useEffect(() => {
    if (codeRefusal(error) === null) return
    field.current?.focus()
    field.current?.select()
  }, [error])
  const submit = (event: FormEvent) => {
    event.preventDefault()
    enter()
  }
  return (
    // A page that loads itself anew would be at the first step again.
    <form className="form" onSubmit={submit} data-dirty="">
      <CodeField ref={field} value={code} onChange={setCode} error={refusal} />
      {error && !refusal && (
        <p className="field-error" role="alert">
          {messageOf(error)}
        </p>
      )}
      <Button tone="primary" type="submit" isBusy={isPending}>
        Sign in
      </Button>
      <Button onClick={onAgain}>Start again</Button>
    </form>
  )
}
