import { away } from '~/stores/away'
import { useStore } from '~/stores/store'
import { Icon } from '~/ui/Icon'

/** What was asked for has to wait: the console has not all of its pages yet, and nobody answers. */
export function AwayBar() {
  const isAway = useStore(away)
  return (
    <div role="status">
      {isAway && (
        <p className="notice notice-amber">
          <Icon name="warning" size={16} />
          <span>The control plane does not answer. What you asked for opens by itself when it is back.</span>
        </p>
      )}
    </div>
  )
}
