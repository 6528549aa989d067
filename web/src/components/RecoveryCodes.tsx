import type { FormEvent, ReactNode } from 'react'
import { Button } from '~/ui/Button'
import { CopyButton } from '~/ui/CopyButton'
import { Dialog } from '~/ui/Dialog'
import { download } from '~/util/clipboard'
import { codesText } from '~/util/second-factor'

interface Props {
  codes: readonly string[]
  email: string
  onClose: () => void
  /** What has happened already. */
  children: ReactNode
}

/** Recovery codes, shown once: only the button closes them, and no page loads itself anew under them. */
export function RecoveryCodes({ codes, email, onClose, children }: Props) {
  const submit = (event: FormEvent) => {
    event.preventDefault()
    onClose()
  }
  const save = () => download('dgon-recovery-codes.txt', codesText(codes, { site: location.host, email, at: new Date() }), 'text/plain')
  return (
    <Dialog title="Your recovery codes" isSticky onClose={onClose}>
      <form className="form" onSubmit={submit} data-dirty="">
        <p>{children}</p>
        <p>Each of these signs you in once when your app is gone. Keep them where you find them without your phone.</p>
        <ul className="recovery-codes" aria-label="Recovery codes">
          {codes.map((code) => (
            <li key={code}>{code}</li>
          ))}
        </ul>
        <div className="panel-tools">
          <CopyButton text={codes.join('\n')} what="codes" />
          <Button icon="download" onClick={save}>
            Download
          </Button>
        </div>
        <p className="muted small">They are shown only now: if they get lost, make new ones.</p>
        <div className="form-buttons">
          <Button tone="primary" type="submit">
            I have kept them
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
