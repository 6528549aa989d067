import { AppLink } from '~/ui/AppLink'
import { PageHeading } from '~/ui/PageHeading'
import { path } from '~/util/path-builder'

export function NotFoundPage() {
  return (
    <>
      <PageHeading title="Page not found" />
      <div className="state panel">
        <p className="state-title">Nothing lives at this address.</p>
        <p className="muted">The link may be from a newer or an older console.</p>
        <AppLink className="button" href={path.overview()}>
          To the overview
        </AppLink>
      </div>
    </>
  )
}
