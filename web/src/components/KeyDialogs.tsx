// What is done about API keys, each with what it does.
import { useState } from 'react'
import { revokeKey } from '~/api/keys'
import type { ApiKey, ApiKeyCreated } from '~/api/types'
import { Facts } from '~/components/Facts'
import { ActionForm } from '~/forms/ActionForm'
import { KeyForm } from '~/forms/KeyForm'
import { showToast } from '~/stores/toasts'
import { limitsText } from '~/table/key-columns'
import { Button } from '~/ui/Button'
import { CopyButton } from '~/ui/CopyButton'
import { Dialog } from '~/ui/Dialog'
import { Time } from '~/ui/Time'
import { curlExample } from '~/util/api-keys'

export function MakeKey({ onClose }: { onClose: () => void }) {
  const [made, setMade] = useState<ApiKeyCreated | null>(null)
  if (made) return <KeyOnce made={made} onClose={onClose} />
  return (
    <Dialog title="Make an API key" onClose={onClose}>
      <KeyForm onMade={setMade} onClose={onClose} />
    </Dialog>
  )
}

/** The whole key, this once: only the button closes it. */
function KeyOnce({ made, onClose }: { made: ApiKeyCreated; onClose: () => void }) {
  const example = curlExample(location.origin, made.scopes)
  return (
    <Dialog title={`The key ${made.name}`} isSticky onClose={onClose}>
      <p>
        Whoever has this key acts for you in {made.org_name}, as far as its scopes go. Put it where your program keeps its secrets, and in no address, command or
        repository.
      </p>
      <div className="command">
        <pre tabIndex={0} aria-label="API key">
          {made.key}
        </pre>
        <CopyButton text={made.key} what="key" />
      </div>
      <p className="muted small">
        It is shown only now: if it gets lost, revoke it and make another one. It works until <Time at={made.expires_at} form="full" />.
      </p>
      {example === null ? (
        <p className="muted small">
          A program sends it in the header <code>Authorization: Bearer</code>. Nothing takes what it may do yet.
        </p>
      ) : (
        <>
          <p className="muted small">A program sends it in a header, here from the variable DGON_API_KEY:</p>
          <div className="command">
            <pre tabIndex={0} aria-label="Example">
              {example}
            </pre>
            <CopyButton text={example} what="example" />
          </div>
        </>
      )}
      <div className="form-buttons">
        <Button tone="primary" onClick={onClose}>
          I have saved it
        </Button>
      </div>
    </Dialog>
  )
}

export function RevokeKey({ apiKey, onClose }: { apiKey: ApiKey; onClose: () => void }) {
  const done = () => {
    showToast(`Revoked: ${apiKey.name}`)
    onClose()
  }
  return (
    <Dialog title={`Revoke ${apiKey.name}`} onClose={onClose}>
      <ActionForm button="Revoke the key" tone="danger" reason="none" act={() => revokeKey(apiKey.id)} onDone={done} onClose={onClose}>
        <p>It is refused from its next request on, for good. Enrolment tokens that it made end with it; nodes that are enrolled stay.</p>
        <Facts
          facts={[
            ['Begins with', <code key="prefix">{apiKey.prefix}</code>],
            ['May', apiKey.scopes.join(', ')],
            ['Limits', limitsText(apiKey)],
            ['Made', <Time key="made" at={apiKey.created_at} form="full" />],
            ['Last used', <Time key="used" at={apiKey.last_used_at} form="full" />],
            ['From', apiKey.last_used_ip, 'It was not used yet, or the address is not known'],
          ]}
        />
      </ActionForm>
    </Dialog>
  )
}
