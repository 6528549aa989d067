// A person's wallets, and signing in with one.
import { call } from '~/api/client'
import { ApiError } from '~/api/errors'
import { query, queryClient } from '~/api/queries'
import { type Pending, signInBy } from '~/api/sign-in'
import type { Me, Sessions, WalletAnswer, WalletPurpose, WalletRequest, Wallets } from '~/api/types'
import { forgetWallet, rememberWallet } from '~/stores/wallet-session'
import { apiPath } from '~/util/path-builder'
import { shortAddress } from '~/util/wallets'
import type { Wallet, WalletAccount } from '~/wallet/wallet'

export type Step = 'connect' | 'sign' | 'check'

interface Proving {
  /** Told what is being waited for. */
  tell: (step: Step) => void
  /** Whoever changed their mind signs in nowhere, whatever the wallet answers later. */
  signal: AbortSignal
}

async function prove(wallet: Wallet, purpose: WalletPurpose, { tell, signal }: Proving): Promise<{ account: WalletAccount; answer: WalletAnswer }> {
  tell('connect')
  const account = await wallet.connect()
  signal.throwIfAborted()
  tell('sign')
  const body = { purpose, kind: wallet.kind, address: account.address, ...(account.chainId && { chain_id: account.chainId }) }
  const asked = await call<WalletRequest>(apiPath.walletRequest(), { method: 'POST', body, signal, isAuthRoute: purpose === 'sign_in' })
  const answer = await wallet.sign(asked)
  signal.throwIfAborted()
  tell('check')
  return { account, answer }
}

/** Signs in with what the wallet signs. The wallet is followed from then on, also where a code comes in between. */
export async function walletSignIn(wallet: Wallet, proving: Proving): Promise<Pending | null> {
  const { account, answer } = await prove(wallet, 'sign_in', proving)
  const remember = (me: Me) => rememberWallet({ userId: me.user_id, walletId: wallet.id, kind: wallet.kind, name: wallet.name, ...account })
  try {
    return await signInBy(apiPath.walletSignIn(), answer, remember)
  } catch (error) {
    // What proves nothing, or comes too late, says so itself.
    if (!(error instanceof ApiError && error.type === 'unauthorized')) throw error
    const message = `${shortAddress(account.address)} is linked to no open account here. Sign in another way, then link it on your account page.`
    throw new ApiError(error.type, message, error.status, error.requestId, error.details)
  }
}

/** Links the account that the wallet signs with; the address as it is listed. */
export async function linkWallet(wallet: Wallet, proving: Proving): Promise<string> {
  const { account, answer } = await prove(wallet, 'link', proving)
  queryClient.setQueryData(query.wallets().queryKey, await call<Wallets>(apiPath.wallets(), { method: 'POST', body: answer }))
  return account.address
}

export async function unlinkWallet(kind: string, address: string): Promise<void> {
  try {
    await call<void>(apiPath.wallet(kind, address), { method: 'DELETE' })
  } catch (error) {
    // One that was taken away meanwhile is what was wanted.
    if (!(error instanceof ApiError && error.type === 'not_found')) throw error
  }
  const { queryKey } = query.wallets()
  queryClient.setQueryData(queryKey, (now) => now && { items: now.items.filter((one) => one.kind !== kind || one.address !== address) })
  void queryClient.invalidateQueries({ queryKey })
}

/** Whether the session of this browser is still the one that began with a wallet; where nobody answers, it may be. */
export async function isWalletSession(): Promise<boolean> {
  try {
    const { items } = await call<Sessions>(apiPath.sessions())
    const current = items.find((one) => one.is_current)
    if (!current || current.method === 'wallet') return true
    forgetWallet()
    return false
  } catch {
    return true
  }
}
