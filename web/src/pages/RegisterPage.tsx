import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { query } from '~/api/queries'
import { BareCard } from '~/components/BareCard'
import { RegisterForm } from '~/forms/RegisterForm'
import { session } from '~/stores/session'
import { useStore } from '~/stores/store'
import { AppLink } from '~/ui/AppLink'
import { Redirect } from '~/ui/Redirect'
import { QueryStates, Skeleton } from '~/ui/states'
import { path } from '~/util/path-builder'

const SKELETON_LINES = 6

/** Where anybody makes an account, if an admin has opened that. */
export function RegisterPage() {
  const state = useQuery(query.authState())
  const now = useStore(session)
  if (now.kind === 'signed-in') return <Redirect href={path.overview()} />
  return (
    <BareCard title="Make an account">
      <QueryStates query={state} what="whether accounts are made here" skeleton={<Skeleton lines={SKELETON_LINES} onRetry={() => void state.refetch()} />}>
        {(data) => <Registration isOpen={data.open_registration} isSetUp={!data.setup_needed} />}
      </QueryStates>
    </BareCard>
  )
}

function Registration({ isOpen, isSetUp }: { isOpen: boolean; isSetUp: boolean }) {
  // Closed while somebody typed, it takes nothing away from them: what the server says to it stands under the form.
  const [wasOpen, setWasOpen] = useState(isOpen)
  if (isOpen && !wasOpen) setWasOpen(true)
  if (isOpen || wasOpen) {
    return (
      <>
        <RegisterForm />
        <p className="muted small">
          You have an account? <AppLink href={path.signIn()}>Sign in</AppLink>
        </p>
      </>
    )
  }
  return (
    <>
      <p>{isSetUp ? 'Accounts are made by an admin here. Ask one for an invitation.' : 'There is no account here yet. Open the set-up link that the control plane printed when it started.'}</p>
      <AppLink className="button button-primary" href={path.signIn()}>
        To the sign-in
      </AppLink>
    </>
  )
}
