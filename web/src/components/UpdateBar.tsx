import { live } from '~/stores/live'
import { useStore } from '~/stores/store'
import { Button } from '~/ui/Button'
import { reloadPage } from '~/util/chunk'

/** The server behind this page is a newer one. The person decides when to follow. */
export function UpdateBar() {
  const { isOutdated } = useStore(live)
  if (!isOutdated) return null
  return (
    <p className="notice" role="status">
      The control plane was upgraded. <Button onClick={() => void reloadPage()}>Load the new console</Button>
    </p>
  )
}
