import { type ButtonHTMLAttributes, useId } from 'react'
import { Icon, type IconName } from '~/ui/Icon'

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  tone?: 'primary' | 'plain' | 'quiet' | 'danger'
  icon?: IconName
  isBusy?: boolean
  /** Why it cannot be pressed now; readable by everyone, and the button keeps its place. */
  disabledReason?: string | null
  ref?: React.Ref<HTMLButtonElement>
}

export function Button({ tone = 'plain', icon, isBusy = false, disabledReason, children, onClick, className = '', ...rest }: Props) {
  const reasonId = useId()
  const isOff = Boolean(disabledReason) || isBusy
  return (
    <>
      <button
        type="button"
        {...rest}
        className={`button button-${tone} ${className}`}
        aria-disabled={isOff || undefined}
        aria-busy={isBusy || undefined}
        aria-describedby={disabledReason ? reasonId : rest['aria-describedby']}
        title={disabledReason ?? rest.title}
        onClick={(event) => {
          if (isOff) event.preventDefault()
          else onClick?.(event)
        }}
      >
        {icon && <Icon name={icon} size={16} />}
        {children}
      </button>
      {disabledReason && (
        <span id={reasonId} className="sr-only">
          {disabledReason}
        </span>
      )}
    </>
  )
}
