// Somebody who signed in with a wallet is who the wallet says. Where it opens another account or chain, that has ended.
import { findWallets } from '~/wallet/find'
import { type Place, type Wallet, type WalletNews, isSameAddress, page } from '~/wallet/wallet'
import type { WalletSession } from '~/stores/wallet-session'

/** What is not as it was at the sign-in; nothing where it is. */
export function whatChanged(session: WalletSession, news: WalletNews): string | null {
  if ('chainId' in news) {
    const isSame = session.chainId === undefined || news.chainId === session.chainId
    return isSame ? null : `${session.name} changed to another chain. Your session here was with the one before.`
  }
  if (news.addresses.some((address) => isSameAddress(session.kind, address, session.address))) return null
  return news.addresses.length === 0
    ? `${session.name} was locked, or closed its account to this page. Your session here went with it.`
    : `${session.name} changed to another account. Your session here was that of the one before.`
}

/** Follows the wallet of a session until it says something else, which is told once. */
export function followWallet(session: WalletSession, changed: (why: string) => void, place: Place = page()): () => void {
  const stops: (() => void)[] = []
  let isOver = false
  const stop = () => {
    isOver = true
    for (const each of stops.splice(0)) each()
  }
  const hear = (news: WalletNews) => {
    const why = isOver ? null : whatChanged(session, news)
    if (why === null) return
    stop()
    changed(why)
  }
  const attach = async (wallet: Wallet) => {
    stops.push(wallet.onNews(hear))
    for (const news of await wallet.look()) hear(news)
  }
  const chains = session.kind === 'cosmos' && session.chainId ? [session.chainId] : []
  let isFound = false
  stops.push(
    findWallets(
      chains,
      (wallets) => {
        const wallet = isFound || isOver ? undefined : wallets.find(({ id }) => id === session.walletId)
        if (!wallet) return
        isFound = true
        void attach(wallet)
      },
      place,
    ),
  )
  return stop
}
