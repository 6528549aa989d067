import { useQuery } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { useState } from 'react'
import { query } from '~/api/queries'
import { BareCard } from '~/components/BareCard'
import { SetupForm } from '~/forms/SetupForm'
import { AppLink } from '~/ui/AppLink'
import { takeFragmentToken } from '~/util/fragment-token'
import { path } from '~/util/path-builder'

export function SetupPage() {
  const router = useRouter()
  const [token] = useState(takeFragmentToken)
  const state = useQuery(query.authState())
  const isDone = state.data?.setup_needed === false
  return (
    <BareCard title="Set up DGON">
      {isDone ? (
        <>
          <p>This control plane has its first admin already.</p>
          <AppLink className="button button-primary" href={path.signIn()}>
            To the sign-in
          </AppLink>
        </>
      ) : token ? (
        <>
          <p className="muted">You are the first one here. This account can do everything. You invite others on the page Users.</p>
          <SetupForm token={token} onDone={() => void router.navigate({ href: path.overview(), replace: true })} />
        </>
      ) : (
        <>
          <p>Open the link that the control plane printed when it started. It ends in a token that works once.</p>
          <p className="muted">
            Lost it? Start <code>dgon-control-plane serve</code> again: as long as there is no admin it prints a new link.
          </p>
        </>
      )}
    </BareCard>
  )
}
