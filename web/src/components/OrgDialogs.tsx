// What admins do about an organisation, each with what it does.
import { useState } from 'react'
import { ApiError, fieldOf, messageOf } from '~/api/errors'
import { closeOrg, createOrg, renameOrg } from '~/api/people'
import type { Organisation } from '~/api/types'
import { ActionForm } from '~/forms/ActionForm'
import { showToast } from '~/stores/toasts'
import { Dialog } from '~/ui/Dialog'
import { TextField } from '~/ui/Field'
import { plural } from '~/util/format'

const NAME_MAX = 64
// A name that another one has is refused as a conflict, without the name of the field.
const isOfName = (error: unknown) => fieldOf(error) === 'name' || (error instanceof ApiError && error.type === 'conflict')

interface NameProps {
  title: string
  button: string
  /** The name that it has. */
  now?: string
  said: string
  act: (name: string) => Promise<Organisation>
  onClose: () => void
}

function NameDialog({ title, button, now = '', said, act, onClose }: NameProps) {
  const [text, setText] = useState(now)
  const name = text.trim()
  const done = (org: Organisation) => {
    showToast(`${said}: ${org.name}`)
    onClose()
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <ActionForm
        button={button}
        tone="primary"
        keep={now ? 'Keep as it is' : 'Cancel'}
        reason="none"
        whyNot={!name ? 'Write a name first' : name === now ? 'It has this name already' : null}
        isDirty={text !== now}
        act={() => act(name)}
        isAtField={isOfName}
        onDone={done}
        onClose={onClose}
      >
        {(error) => (
          <TextField
            label="Name"
            required
            maxLength={NAME_MAX}
            autoComplete="off"
            value={text}
            onChange={(event) => setText(event.target.value)}
            hint="Of a company or a group of people whose nodes belong together. No two have the same."
            error={isOfName(error) ? messageOf(error) : null}
          />
        )}
      </ActionForm>
    </Dialog>
  )
}

export const MakeOrg = ({ onClose }: { onClose: () => void }) => (
  <NameDialog title="Make an organisation" button="Make it" said="Made" act={createOrg} onClose={onClose} />
)

interface Props {
  org: Organisation
  onClose: () => void
}

export const RenameOrg = ({ org, onClose }: Props) => (
  <NameDialog title={`Rename ${org.name}`} button="Rename" now={org.name} said="Renamed" act={(name) => renameOrg(org.org_id, name)} onClose={onClose} />
)

export function CloseOrg({ org, onClose }: Props) {
  const done = () => {
    showToast(`Closed: ${org.name}`)
    onClose()
  }
  return (
    <Dialog title={`Close ${org.name}`} onClose={onClose}>
      <ActionForm button="Close for good" tone="danger" reason="required" whyNot={org.nodes > 0 ? `It has ${plural(org.nodes, 'node')}` : null} act={(reason) => closeOrg(org.org_id, reason)} onDone={done} onClose={onClose}>
        <p>Nobody can act for {org.name} any more, at once: API keys for it and its enrolment tokens stop to work. It cannot be opened again.</p>
        <p>
          Its people keep their accounts, and its receipts stay.{' '}
          {org.nodes > 0 ? `It has ${plural(org.nodes, 'node')}, and must have none: retire them or pass them on first, each on its page.` : 'It has no nodes.'}
        </p>
      </ActionForm>
    </Dialog>
  )
}
