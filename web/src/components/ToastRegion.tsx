import { useStore } from '~/stores/store'
import { dismissToast, toasts } from '~/stores/toasts'
import { Button } from '~/ui/Button'
import { Icon } from '~/ui/Icon'

export function ToastRegion() {
  const shown = useStore(toasts)
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map(({ id, tone, text }) => (
        <div key={id} className={`toast toast-${tone}`}>
          <Icon name={tone === 'ok' ? 'check' : 'warning'} />
          <span>{text}</span>
          <Button tone="quiet" icon="close" className="button-icon button-small" aria-label="Dismiss" onClick={() => dismissToast(id)} />
        </div>
      ))}
    </div>
  )
}
