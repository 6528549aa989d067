import { useRouter } from '@tanstack/react-router'
import { useState } from 'react'
import { createPortal } from 'react-dom'
import { actFor } from '~/api/mutations'
import type { Me } from '~/api/types'
import { ActionForm } from '~/forms/ActionForm'
import { openMemberships } from '~/stores/session'
import { Button } from '~/ui/Button'
import { Dialog } from '~/ui/Dialog'
import { Icon } from '~/ui/Icon'
import { rolesText } from '~/util/people'
import { nodesStart } from '~/util/nodes-start'
import { listOf, path } from '~/util/path-builder'

/** For which of their organisations a person acts, and the way to another where there is a choice. */
export function OrgSwitch({ me }: { me: Me }) {
  const [isOpen, setOpen] = useState(false)
  const open = openMemberships(me)
  const now = open.find((one) => one.org_id === me.org_id)
  if (open.length === 0) return null
  const name = now?.org_name ?? 'no organisation'
  if (open.length === 1 && now) {
    return (
      <p className="org-switch org-alone" title={`You act for ${name}`}>
        <Icon name="organisation" />
        <span className="sr-only">You act for </span>
        <span className="org-name">{name}</span>
      </p>
    )
  }
  return (
    <>
      <Button tone="quiet" className="org-switch" icon="organisation" title={`You act for ${name}`} onClick={() => setOpen(true)}>
        <span className="sr-only">You act for </span>
        <span className="org-name">{name}</span>
      </Button>
      {isOpen && <ChooseOrganisation me={me} onClose={() => setOpen(false)} />}
    </>
  )
}

export function ChooseOrganisation({ me, onClose }: { me: Me; onClose: () => void }) {
  const router = useRouter()
  const [chosen, setChosen] = useState(me.org_id ?? '')
  // One node or receipt of the other organisation is none of this one: its list is.
  const goOn = () => {
    const list = listOf(router.state.location.pathname)
    const roles = openMemberships(me).find((one) => one.org_id === chosen)?.roles ?? []
    return router.navigate({ href: list === path.nodes() ? nodesStart({ roles }) : list, replace: true })
  }
  // Neither the banner nor a message holds a dialog.
  return createPortal(
    <Dialog title="Act for an organisation" onClose={onClose}>
      <ActionForm
        button="Act for it"
        tone="primary"
        reason="none"
        whyNot={!chosen ? 'Choose one first' : chosen === me.org_id ? 'You act for this one now' : null}
        act={() => actFor(chosen, goOn)}
        onDone={onClose}
        onClose={onClose}
      >
        <p>You see and do what belongs to it, in every page of this browser. Your next sign-ins begin with it.</p>
        <fieldset className="segmented choices">
          <legend className="sr-only">Organisation</legend>
          <div>
            {openMemberships(me).map((one) => (
              <label key={one.org_id}>
                <input type="radio" name="organisation" checked={chosen === one.org_id} onChange={() => setChosen(one.org_id)} />
                <span>
                  {one.org_name}
                  <span className="hint">{rolesText(one.roles)}</span>
                </span>
              </label>
            ))}
          </div>
        </fieldset>
      </ActionForm>
    </Dialog>,
    document.body,
  )
}
