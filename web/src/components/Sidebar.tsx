import { useRouterState } from '@tanstack/react-router'
import { logout } from '~/api/mutations'
import { messageOf } from '~/api/errors'
import type { Me } from '~/api/types'
import { LiveIndicator } from '~/components/LiveIndicator'
import { OrgSwitch } from '~/components/OrgSwitch'
import { useMe } from '~/hooks/use-me'
import { hasRole } from '~/stores/session'
import { showToast } from '~/stores/toasts'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Icon, type IconName } from '~/ui/Icon'
import { nodesStart } from '~/util/nodes-start'
import { path } from '~/util/path-builder'

type Who = 'anyone' | 'member' | 'operator' | 'admin'

interface Item {
  title: string
  icon: IconName
  href: string
  /** Where it leads somebody to, where that is not the page as it is. */
  start?: (me: Me | null) => string
  isShownTo: (who: Who, me: Me | null) => boolean
}

const isOperator = (who: Who) => who === 'operator' || who === 'admin'

const ITEMS: Item[] = [
  { title: 'Overview', icon: 'overview', href: path.overview(), isShownTo: () => true },
  { title: 'Nodes', icon: 'nodes', href: path.nodes(), start: nodesStart, isShownTo: (who) => who !== 'anyone' },
  { title: 'Receipts', icon: 'receipts', href: path.receipts(), isShownTo: isOperator },
  { title: 'Run a node', icon: 'run', href: path.run(), isShownTo: isOperator },
  { title: 'Private pools', icon: 'shield', href: path.pools(), isShownTo: (_, me) => me?.private_pools === true },
  { title: 'Users', icon: 'users', href: path.users(), isShownTo: (who) => who === 'admin' },
  { title: 'Organisations', icon: 'organisation', href: path.organisations(), isShownTo: (who) => who === 'admin' },
  { title: 'Assignments', icon: 'assigned', href: path.assignments(), isShownTo: (who) => who === 'admin' },
  { title: 'Audit', icon: 'audit', href: path.audit(), isShownTo: (who) => who === 'admin' },
]

export function Sidebar({ openHelp }: { openHelp: () => void }) {
  const pathname = useRouterState({ select: ({ location }) => location.pathname })
  const me = useMe()
  const who: Who = me === null ? 'anyone' : hasRole(me, 'admin') ? 'admin' : hasRole(me, 'operator') ? 'operator' : 'member'
  const isCurrent = (href: string) => (href === '/' ? pathname === '/' : pathname.startsWith(href))
  return (
    <header className="sidebar">
      <AppLink href={path.overview()} className="brand" aria-label="DGON, to the overview">
        <Mark />
        <span aria-hidden="true">DGON</span>
      </AppLink>
      <nav aria-label="Main">
        <ul>
          {ITEMS.filter((item) => item.isShownTo(who, me)).map((item) => (
            <li key={item.href}>
              <AppLink href={item.start?.(me) ?? item.href} className="nav-link" aria-current={isCurrent(item.href) ? 'page' : undefined}>
                <Icon name={item.icon} />
                {item.title}
              </AppLink>
            </li>
          ))}
        </ul>
      </nav>
      <div className="sidebar-foot">
        <LiveIndicator />
        {me ? (
          <div className="account">
            <OrgSwitch me={me} />
            <AppLink href={path.account()} className="nav-link account-link" title={me.email} aria-current={isCurrent(path.account()) ? 'page' : undefined}>
              <Icon name="account" />
              <span className="account-mail">{me.email}</span>
              <span className="sr-only">Account</span>
            </AppLink>
            <span className="account-buttons">
              <Button tone="quiet" className="button-icon" icon="help" aria-label="Help and settings" title="Help and settings (?)" onClick={openHelp} />
              <Button
                tone="quiet"
                className="button-icon"
                icon="signOut"
                aria-label="Sign out"
                title="Sign out"
                onClick={() => void logout().catch((error: unknown) => showToast(messageOf(error), 'error'))}
              />
            </span>
          </div>
        ) : (
          <AppLink href={path.signIn()} className="nav-link">
            <Icon name="signIn" /> Sign in
          </AppLink>
        )}
      </div>
    </header>
  )
}

export function Mark({ size = 26 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" className="mark">
      <path className="mark-edge" d="M16 4 26.4 10v12L16 28 5.6 22V10Z" />
      <circle className="mark-core" cx="16" cy="16" r="4" />
    </svg>
  )
}
