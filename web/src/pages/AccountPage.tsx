import { useQuery } from '@tanstack/react-query'
import { useRef, useState } from 'react'
import { query } from '~/api/queries'
import { Facts } from '~/components/Facts'
import { OwnData } from '~/components/OwnData'
import { OwnIdentities } from '~/components/OwnIdentities'
import { OwnMemberships } from '~/components/OwnMemberships'
import { OwnSecondFactor } from '~/components/OwnSecondFactor'
import { OwnWallets } from '~/components/OwnWallets'
import { PasswordNotice } from '~/components/PasswordNotice'
import { PasswordForm } from '~/forms/PasswordForm'
import { useMe } from '~/hooks/use-me'
import { useProblem } from '~/hooks/use-problem'
import { showToast } from '~/stores/toasts'
import { AppLink } from '~/ui/AppLink'
import { Icon } from '~/ui/Icon'
import { PageHeading } from '~/ui/PageHeading'
import { path } from '~/util/path-builder'

/** Who one is here and how one signs in; for everybody. */
export function AccountPage() {
  const me = useMe()
  const wallets = useQuery(query.wallets())
  const identities = useQuery(query.identities())
  const problem = useProblem()
  const [changes, setChanges] = useState(0)
  const heading = useRef<HTMLHeadingElement>(null)
  if (!me) return null
  const changed = () => {
    showToast('Your password is set. All your other sign-ins ended.')
    setChanges((now) => now + 1)
    // The button that was pressed goes with its form.
    heading.current?.focus()
  }
  return (
    <>
      <PageHeading title="Account" lead="Who you are here, and how you sign in." />
      <div className="account-page">
        {problem && (
          <p className="notice notice-amber" role="alert">
            {problem}
          </p>
        )}
        <PasswordNotice me={me} hasWallet={(wallets.data?.items.length ?? 0) > 0} hasIdentity={(identities.data?.items.length ?? 0) > 0} />
        <section className="panel" aria-labelledby="you">
          <header className="panel-head">
            <h2 id="you">You</h2>
            <span className="panel-tools">
              <AppLink className="button button-plain" href={path.keys()}>
                API keys
                <Icon name="chevronRight" size={14} />
              </AppLink>
              <AppLink className="button button-plain" href={path.sessions()}>
                Sign-ins
                <Icon name="chevronRight" size={14} />
              </AppLink>
            </span>
          </header>
          <Facts
            facts={[
              ['E-mail', me.email],
              ['Organisations', <OwnMemberships key="organisations" me={me} />],
              ['Password', me.has_password ? 'Set' : 'None yet'],
            ]}
          />
        </section>
        <section className="panel" aria-labelledby="password">
          <header className="panel-head">
            <h2 id="password" ref={heading} tabIndex={-1}>
              Password
            </h2>
          </header>
          <PasswordForm key={changes} me={me} onDone={changed} />
        </section>
        <OwnSecondFactor me={me} />
        <OwnWallets />
        <OwnIdentities />
        <OwnData me={me} />
      </div>
    </>
  )
}
