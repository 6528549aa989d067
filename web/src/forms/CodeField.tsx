import type { Ref } from 'react'
import { TextField } from '~/ui/Field'

/** Longer than any code with all the spaces that one may type. */
const LONGEST = 40

interface Props {
  value: string
  onChange: (code: string) => void
  error: string | null
  /** Only the app's are taken here. */
  isOfApp?: boolean
  ref?: Ref<HTMLInputElement>
}

/** A code of the second factor. Recovery codes have letters, so that it is no field of digits where they are taken. */
export function CodeField({ value, onChange, error, isOfApp = false, ref }: Props) {
  return (
    <TextField
      ref={ref}
      label="Code"
      className="mono"
      required
      autoComplete="one-time-code"
      inputMode={isOfApp ? 'numeric' : 'text'}
      autoCapitalize="none"
      autoCorrect="off"
      spellCheck={false}
      maxLength={LONGEST}
      hint={isOfApp ? 'The six digits that the app shows now.' : 'Six digits from your authenticator app, or one of your recovery codes.'}
      value={value}
      error={error}
      onChange={(event) => onChange(event.target.value)}
    />
  )
}
