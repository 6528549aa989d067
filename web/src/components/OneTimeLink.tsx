import type { SignInLink } from '~/api/types'
import { Button } from '~/ui/Button'
import { CopyButton } from '~/ui/CopyButton'
import { Dialog } from '~/ui/Dialog'
import { Time } from '~/ui/Time'

/** A link that signs somebody in once. It is shown once: only the button closes it. */
export function OneTimeLink({ link, email, onClose }: { link: SignInLink; email: string; onClose: () => void }) {
  const url = `${location.origin}${link.path}`
  return (
    <Dialog title={`A link for ${email}`} isSticky onClose={onClose}>
      <p>Pass it on to them and to nobody else: whoever opens it is signed in as them.</p>
      <div className="command">
        <pre tabIndex={0} aria-label="Sign-in link">
          {url}
        </pre>
        <CopyButton text={url} what="link" />
      </div>
      <p className="muted small">
        It works once, until <Time at={link.expires_at} form="full" />. It is shown only now: if it gets lost, make another one.
      </p>
      <div className="form-buttons">
        <Button tone="primary" onClick={onClose}>
          I have passed it on
        </Button>
      </div>
    </Dialog>
  )
}
