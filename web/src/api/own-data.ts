// All that is kept of the person who is signed in: taken along in one file, and deleted.
import { call, callBytes } from '~/api/client'
import type { DeleteRequest } from '~/api/types'
import { isChanging, signedOut } from '~/stores/session'
import { endedBecause } from '~/stores/wallet-session'
import { download } from '~/util/clipboard'
import { apiPath } from '~/util/path-builder'

const FILE = 'dgon-account.json'
const DELETED = 'Your account is deleted, and all its sign-ins have ended.'

export async function downloadOwnData(): Promise<void> {
  download(FILE, await callBytes(apiPath.ownData()), 'application/json')
}

/**
 * Deletes the account for good. No page is shown until `goOn` has led to one for strangers: from the one that it was done
 * on, whoever signs in next would be led back there.
 */
export async function deleteAccount(email: string, current: string, goOn: () => Promise<unknown>): Promise<void> {
  await call<void>(apiPath.me(), { method: 'DELETE', body: { email, ...(current && { current }) } satisfies DeleteRequest })
  isChanging.set(true)
  try {
    endedBecause.set(DELETED)
    signedOut()
    await goOn()
  } finally {
    isChanging.set(false)
  }
}
