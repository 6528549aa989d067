// Ends the session that a wallet began, once the wallet is somebody else's.
import { messageOf } from '~/api/errors'
import { logout } from '~/api/mutations'
import { isWalletSession } from '~/api/wallets'
import { router } from '~/router'
import { session } from '~/stores/session'
import { showToast } from '~/stores/toasts'
import { endedBecause, forgetWallet, walletOf } from '~/stores/wallet-session'
import { chunk } from '~/util/chunk'
import { path } from '~/util/path-builder'

const AGAIN_MS = 3000

/** Signs out, and tries again as long as the server cannot be told: its cookies are still good. */
async function end(why: string, isAgain = false): Promise<void> {
  if (session.get().kind !== 'signed-in' || !(await isWalletSession())) return
  try {
    await logout()
  } catch (error) {
    if (!isAgain) showToast(`${why} It could not be ended yet: ${messageOf(error)}`, 'error')
    setTimeout(() => void end(why, true), AGAIN_MS)
    return
  }
  endedBecause.set(why)
  // From a page that strangers may see, too: what happened is said where one signs in.
  const { pathname, href } = router.state.location
  if (pathname !== path.signIn()) await router.navigate({ href: path.signIn(href), replace: true })
}

/** Follows the wallet that this tab signed in with, for as long as that session is open. */
export function keepToWallet(): void {
  let following: string | null = null
  let stop = () => {}
  session.subscribe(() => {
    const now = session.get()
    if (now.kind === 'unknown') return
    if (now.kind === 'signed-in') endedBecause.set(null)
    const wallet = now.kind === 'signed-in' ? walletOf(now.me.user_id) : null
    if (!wallet) forgetWallet()
    const which = wallet && JSON.stringify(wallet)
    if (which === following) return
    following = which
    stop()
    stop = () => {}
    if (!wallet) return
    void chunk(() => import('~/wallet/follow')).then(({ followWallet }) => {
      if (following === which) stop = followWallet(wallet, (why) => void end(why))
    })
  })
}
