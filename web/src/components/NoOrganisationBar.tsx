import { useState } from 'react'
import { ChooseOrganisation } from '~/components/OrgSwitch'
import { useMe } from '~/hooks/use-me'
import { openMemberships } from '~/stores/session'
import { Button } from '~/ui/Button'
import { Icon } from '~/ui/Icon'

/** Why the pages show so little to somebody who acts for no organisation, and what helps. */
export function NoOrganisationBar() {
  const me = useMe()
  const [isOpen, setOpen] = useState(false)
  if (!me || me.org_id) return null
  const hasChoice = openMemberships(me).length > 0
  return (
    <div className="notice notice-amber" role="status">
      <Icon name="warning" size={16} />
      <span>
        {hasChoice
          ? 'You act for no organisation: you are not in the one that you acted for any more, or it was closed.'
          : 'You are in no open organisation, so you see what strangers see. An admin can add you to one.'}
      </span>
      {hasChoice && <Button onClick={() => setOpen(true)}>Choose another one…</Button>}
      {isOpen && <ChooseOrganisation me={me} onClose={() => setOpen(false)} />}
    </div>
  )
}
