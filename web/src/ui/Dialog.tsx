import { type ReactNode, useId, useLayoutEffect, useRef } from 'react'
import { Button } from '~/ui/Button'

interface Props {
  title: string
  onClose: () => void
  children: ReactNode
  /** A drawer slides in from the side and keeps the list in sight. */
  variant?: 'dialog' | 'drawer'
  /** Only the way that the content gives closes it. */
  isSticky?: boolean
  headerExtra?: ReactNode
}

/** A native modal dialog: the browser keeps the focus inside and gives it back. */
export function Dialog({ title, onClose, children, variant = 'dialog', isSticky = false, headerExtra }: Props) {
  const ref = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  // Closed before it leaves the document: one that is taken out while it is open gives no focus back.
  useLayoutEffect(() => {
    const dialog = ref.current
    if (dialog && !dialog.open) dialog.showModal()
    return () => dialog?.close()
  }, [])
  return (
    // The keys of a native dialog are the browser's; the click is for the backdrop alone.
    // oxlint-disable-next-line click-events-have-key-events, no-noninteractive-element-interactions
    <dialog
      ref={ref}
      className={variant}
      aria-labelledby={titleId}
      closedby={isSticky ? 'none' : undefined}
      onCancel={(event) => {
        event.preventDefault()
        if (!isSticky) onClose()
      }}
      onClose={() => {
        // At a second Escape in a row a browser asks no more, unless it knows `closedby`.
        if (ref.current?.open !== false) return
        if (isSticky) ref.current.showModal()
        else onClose()
      }}
      onClick={(event) => {
        if (event.target === ref.current && !isSticky) onClose()
      }}
    >
      <div className={`${variant}-body`}>
        <header className="dialog-head">
          <h2 id={titleId} tabIndex={-1} autoFocus>
            {title}
          </h2>
          {headerExtra}
          {!isSticky && <Button tone="quiet" icon="close" aria-label="Close" className="button-icon" onClick={onClose} />}
        </header>
        {children}
      </div>
    </dialog>
  )
}
