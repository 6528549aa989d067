import type { ReactNode } from 'react'
import { useMe } from '~/hooks/use-me'
import { AppLink } from '~/ui/AppLink'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState } from '~/ui/states'
import { path } from '~/util/path-builder'

/** A page of private pools. Who is not signed in, and everybody in a network that has none, is told so, and nothing is asked for. */
export function PoolsOnly({ children }: { children: ReactNode }) {
  const me = useMe()
  if (me?.private_pools) return children
  return (
    <>
      <PageHeading title="Private pools" />
      <section className="panel">
        {me ? (
          <EmptyState title="Private pools are off in this network">An admin turns them on with the flag enable_private_pools.</EmptyState>
        ) : (
          <EmptyState title="Sign in to see private pools" action={<AppLink className="button" href={path.signIn(path.pools())}>Sign in</AppLink>} />
        )}
      </section>
    </>
  )
}
