import type { ReactNode } from 'react'
import { useMe } from '~/hooks/use-me'
import { hasRole } from '~/stores/session'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState } from '~/ui/states'

/** A page for admins. Everybody else is told so, and nothing is asked for. */
export function AdminsOnly({ title, what, children }: { title: string; what: string; children: ReactNode }) {
  if (hasRole(useMe(), 'admin')) return children
  return (
    <>
      <PageHeading title={title} />
      <section className="panel">
        <EmptyState title={`Your account may not see ${what}`}>This page is for admins.</EmptyState>
      </section>
    </>
  )
}
