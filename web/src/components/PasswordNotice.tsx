import type { Me } from '~/api/types'
import { Icon } from '~/ui/Icon'

/** To whoever has no password: how they come in again, while they are in. */
export function PasswordNotice({ me, hasWallet }: { me: Me; hasWallet: boolean }) {
  if (me.has_password) return null
  return (
    <div className="notice" role="status">
      <Icon name="shield" size={16} />
      <span>
        {hasWallet
          ? 'Your wallets alone sign you in. Set a password, too: then the loss of a wallet does not lock you out.'
          : 'You have no password yet, and a sign-in link works once. Set one within 15 minutes of signing in, so that you can come in again; later that takes another link from an admin.'}
      </span>
    </div>
  )
}
