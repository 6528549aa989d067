import type { ReactNode } from 'react'
import { Mark } from '~/components/Sidebar'
import { PageHeading } from '~/ui/PageHeading'

/** The page of someone who is not in yet: one calm card. */
export function BareCard({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="bare-card">
      <p className="bare-brand" aria-hidden="true">
        <Mark size={34} /> DGON
      </p>
      <PageHeading title={title} />
      {children}
    </section>
  )
}
