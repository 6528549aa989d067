import { useEffect, useRef, useState } from 'react'
import { Button } from '~/ui/Button'
import { Dialog } from '~/ui/Dialog'
import { copyText } from '~/util/clipboard'

const CONFIRMED_MS = 2000

interface Props {
  text: string
  /** What is copied, such as `command`. */
  what: string
  isCompact?: boolean
}

/** Copies; where the browser forbids that on plain http, shows the text selected. */
export function CopyButton({ text, what, isCompact = false }: Props) {
  const [state, setState] = useState<'idle' | 'copied' | 'manual'>('idle')
  useEffect(() => {
    if (state !== 'copied') return
    const timer = setTimeout(() => setState('idle'), CONFIRMED_MS)
    return () => clearTimeout(timer)
  }, [state])
  const isCopied = state === 'copied'
  return (
    <>
      <Button
        tone={isCompact ? 'quiet' : 'plain'}
        className={isCompact ? 'button-icon button-small' : ''}
        icon={isCopied ? 'check' : 'copy'}
        aria-label={isCompact ? `Copy ${what}` : undefined}
        title={isCompact ? `Copy ${what}` : undefined}
        onClick={() => void copyText(text).then((done) => setState(done ? 'copied' : 'manual'))}
      >
        {isCompact ? null : isCopied ? 'Copied' : `Copy ${what}`}
      </Button>
      <span className="sr-only" role="status">
        {isCopied ? `Copied ${what}` : ''}
      </span>
      {state === 'manual' && <ManualCopy text={text} what={what} onClose={() => setState('idle')} />}
    </>
  )
}

function ManualCopy({ text, what, onClose }: { text: string; what: string; onClose: () => void }) {
  const area = useRef<HTMLTextAreaElement>(null)
  useEffect(() => area.current?.select(), [])
  return (
    <Dialog title={`Copy the ${what}`} onClose={onClose}>
      <p className="muted">Automatic copy requires a secure context, and this page came over plain http. The text is selected: press Ctrl+C or ⌘C.</p>
      <textarea ref={area} className="code-area" readOnly rows={Math.min(12, text.split('\n').length + 1)} value={text} aria-label={what} />
    </Dialog>
  )
}
