import { messageOf } from '~/api/errors'
import { Button } from '~/ui/Button'
import { PageHeading } from '~/ui/PageHeading'
import { reloadPage } from '~/util/chunk'

/** A fault of the console itself. Says so, and offers the way back. */
export function PageCrash({ error }: { error: unknown }) {
  return (
    <>
      <PageHeading title="The console failed here" />
      <div className="state panel state-error" role="alert">
        <p className="state-title">This page could not be drawn.</p>
        <p>{messageOf(error)}</p>
        <p className="muted">Your data is safe on the control plane. Loading the page again usually helps.</p>
        <Button icon="retry" onClick={() => void reloadPage()}>
          Load again
        </Button>
      </div>
    </>
  )
}
