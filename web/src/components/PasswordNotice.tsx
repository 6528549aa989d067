import type { Me } from '~/api/types'
import { Icon } from '~/ui/Icon'

interface Props {
  me: Me
  hasWallet: boolean
  /** Whether an account elsewhere signs them in. */
  hasIdentity: boolean
}

const WALLETS = 'Your wallets alone sign you in. Set a password, too: then the loss of a wallet does not lock you out.'
const IDENTITIES = 'Your accounts elsewhere alone sign you in. Set a password, too, within 15 minutes of signing in: then you come in also when the other site is down.'
const NOTHING =
  'You have no password yet, and a sign-in link works once. Set one within 15 minutes of signing in, so that you can come in again; later that takes another link from an admin.'

/** To whoever has no password: how they come in again, while they are in. */
export function PasswordNotice({ me, hasWallet, hasIdentity }: Props) {
  if (me.has_password) return null
  const otherwise = hasIdentity ? IDENTITIES : NOTHING
  const words = hasWallet ? WALLETS : otherwise
  return (
    <div className="notice" role="status">
      <Icon name="shield" size={16} />
      <span>{words}</span>
    </div>
  )
}
