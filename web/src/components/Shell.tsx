import { Outlet, useRouterState } from '@tanstack/react-router'
import { useCallback, useRef, useState } from 'react'
import { query, queryClient } from '~/api/queries'
import { AwayBar } from '~/components/AwayBar'
import { HelpDialog } from '~/components/HelpDialog'
import { NoOrganisationBar } from '~/components/NoOrganisationBar'
import { NewerSignIn, SessionDialog } from '~/components/SessionDialog'
import { Sidebar } from '~/components/Sidebar'
import { ToastRegion } from '~/components/ToastRegion'
import { UpdateBar } from '~/components/UpdateBar'
import { useHotkeys } from '~/hooks/use-hotkeys'
import { announcement } from '~/stores/announcer'
import { isChanging, session, signInAsked, view } from '~/stores/session'
import { useStore } from '~/stores/store'
import { Skeleton } from '~/ui/states'
import { Redirect } from '~/ui/Redirect'
import { path } from '~/util/path-builder'

const BARE = new Set([path.signIn(), path.register(), path.setup()])

/** Everything around a page: navigation, live region, dialogs over it. */
export function Shell() {
  // The page on screen: the address may be ahead of it while the next page's code is on its way.
  const pathname = useRouterState({ select: ({ matches, location }) => matches.at(-1)?.pathname ?? location.pathname })
  const now = useStore(session)
  const isWaiting = useStore(isChanging) || now.kind === 'unknown'
  // Drawn anew where what was read is not for the person, organisation or role any more.
  const seenAs = useStore(view)
  const [isHelpOpen, setHelpOpen] = useState(false)
  const main = useRef<HTMLElement>(null)
  const isNewerAsked = useStore(signInAsked)
  const openHelp = useCallback(() => setHelpOpen(true), [])
  useHotkeys(openHelp)

  const isBare = BARE.has(pathname)
  const mayStay = now.kind === 'signed-in' || now.kind === 'expired' || isBare || (pathname === path.overview() && isOverviewOpen() && !needsSetup())
  return (
    <>
      <a
        className="skip-link"
        href="#main"
        onClick={(event) => {
          event.preventDefault()
          main.current?.focus()
        }}
      >
        Skip to content
      </a>
      <div className={isBare ? 'bare' : 'shell'}>
        {!isBare && <Sidebar openHelp={openHelp} />}
        <main id="main" ref={main} tabIndex={-1}>
          <AwayBar />
          {!isBare && <UpdateBar />}
          {!isBare && <NoOrganisationBar />}
          {isWaiting && !isBare ? <Skeleton lines={8} className="page-skeleton" /> : mayStay ? <Outlet key={seenAs} /> : <ToSignIn />}
        </main>
      </div>
      {isHelpOpen && <HelpDialog onClose={() => setHelpOpen(false)} />}
      {now.kind === 'expired' && <SessionDialog email={now.me.email} />}
      {now.kind === 'signed-in' && isNewerAsked && <NewerSignIn email={now.me.email} />}
      <ToastRegion />
      <Announcer />
    </>
  )
}

/** A page that needs a session, without one. Comes back to it afterwards. */
function ToSignIn() {
  const { pathname, href } = useRouterState({ select: ({ location }) => ({ pathname: location.pathname, href: location.href }), structuralSharing: true })
  if (BARE.has(pathname)) return null
  return <Redirect href={needsSetup() ? path.setup() : path.signIn(href === '/' ? undefined : href)} />
}

const authState = () => queryClient.getQueryData(query.authState().queryKey)
const isOverviewOpen = () => authState()?.anonymous_overview === true
const needsSetup = () => authState()?.setup_needed === true

function Announcer() {
  return (
    <div className="sr-only" aria-live="polite" data-testid="announcer">
      {useStore(announcement)}
    </div>
  )
}
