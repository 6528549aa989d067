// What the tests of the second factor do again and again.
import type { APIRequestContext, Locator, Page } from '@playwright/test'
import { dialogOf } from './admin'
import { type Authenticator, authenticator, codeNow } from './authenticator'
import { expect } from './fixtures'
import { BASE_URL } from './place'
import { userLink } from './programs'

export const PASSWORD = 'seven slow green snails'
export const WRONG = '000000'

export const account = (page: Page) => page.getByRole('heading', { level: 1, name: 'Account' })
export const signInHeading = (page: Page) => page.getByRole('heading', { level: 1, name: 'Sign in' })
export const codeHeading = (page: Page) => page.getByRole('heading', { level: 1, name: 'Enter the code' })
export const code = (within: Page | Locator) => within.getByRole('textbox', { name: 'Code', exact: true })
export const panel = (page: Page) => page.getByRole('region', { name: 'Authenticator app' })
export const setUp = (page: Page) => dialogOf(page, 'Set up an authenticator app')
/** One's own password, which the dialog asks who has one for. */
export const ownPassword = (within: Page | Locator) => within.getByLabel('Your password', { exact: true })
export const shownCodes = (page: Page) => dialogOf(page, 'Your recovery codes')
export const press = (within: Page | Locator, name: string) => within.getByRole('button', { name, exact: true }).click()

/** Somebody new with a password, on their account page. */
export async function join(page: Page, email: string): Promise<void> {
  await page.goto(await userLink(email, BASE_URL, {}, 'viewer'))
  await expect(account(page)).toBeVisible()
  await page.getByLabel('New password').fill(PASSWORD)
  await press(page, 'Set the password')
  await expect(page.getByText('Your password is set')).toBeVisible()
}

export async function signOut(page: Page): Promise<void> {
  await press(page, 'Sign out')
  await expect(page.getByRole('link', { name: 'Sign in' }).or(signInHeading(page))).toBeVisible()
}

/** Goes the first step, by the password. */
export async function begin(page: Page, email: string): Promise<void> {
  await page.goto('/sign-in?next=/account')
  await page.getByLabel('E-mail').fill(email)
  await page.getByLabel('Password').fill(PASSWORD)
  await press(page, 'Sign in')
}

/** The recovery codes, once they are shown. */
export async function readCodes(page: Page): Promise<string[]> {
  const items = shownCodes(page).getByRole('listitem')
  await expect(items).toHaveCount(10)
  return items.allInnerTexts()
}

/** Sets an app up, from the button to the end; the app and the recovery codes. */
export async function addApp(page: Page): Promise<{ app: Authenticator; codes: string[] }> {
  await press(panel(page), 'Set up…')
  const app = authenticator(await setUp(page).getByLabel('Secret', { exact: true }).innerText())
  await code(setUp(page)).fill(app.next())
  if (await ownPassword(setUp(page)).isVisible()) await ownPassword(setUp(page)).fill(PASSWORD)
  await press(setUp(page), 'Turn on')
  const codes = await readCodes(page)
  await press(shownCodes(page), 'I have kept them')
  await expect(panel(page)).toContainText('10 of 10 left')
  return { app, codes }
}

/** Somebody with an app, made over the API; their recovery codes. */
export async function withApp(api: APIRequestContext, email: string): Promise<string[]> {
  const token = new URL(await userLink(email, BASE_URL, {}, 'viewer')).hash.replace('#token=', '')
  const me = (await (await api.post('/api/v1/auth/redeem', { data: { token } })).json()) as { csrf_token: string }
  const headers = { 'x-csrf-token': me.csrf_token }
  const offer = (await (await api.post('/api/v1/users/me/second-factor/offer', { headers })).json()) as { secret: string; sealed: string }
  const set = await api.put('/api/v1/users/me/second-factor', { headers, data: { sealed: offer.sealed, code: codeNow(offer.secret) } })
  expect(set.status()).toBe(200)
  return ((await set.json()) as { recovery_codes: string[] }).recovery_codes
}
