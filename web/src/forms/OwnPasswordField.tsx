import { fieldOf, messageOf } from '~/api/errors'
import { TextField } from '~/ui/Field'

/** Whether the server refused the password that was given as the present one. */
export const isOfPassword = (error: unknown) => fieldOf(error) === 'current'

interface Props {
  value: string
  onChange: (value: string) => void
  error: unknown
}

/** The password of who is signed in: asked for where a browser alone must not be enough. */
export function OwnPasswordField({ value, onChange, error }: Props) {
  return (
    <TextField
      label="Your password"
      type="password"
      autoComplete="current-password"
      required
      value={value}
      error={isOfPassword(error) ? messageOf(error) : null}
      onChange={(event) => onChange(event.target.value)}
    />
  )
}
