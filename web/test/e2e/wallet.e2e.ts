import type { APIRequestContext, Page } from '@playwright/test'
import { NOBODY, expect, expectAccessible, expectNoSidewaysScroll, settled, strangersApi, test } from './fixtures'
import { BASE_URL } from './place'
import { signInLink, userLink } from './programs'
import { type Signer, addEvmWallet, addSolanaWallet, cosmosSigner, evmSigner, solanaSigner } from './wallets'

// People of their own: what they set and end is no other test's.
const EMAIL = 'wren@example.org'
const PASSWORD = 'three small brown birds'
const NEXT_PASSWORD = 'three small grey birds'

test.use({ storageState: NOBODY })

const linkButton = (page: Page) => page.getByRole('button', { name: 'Link a wallet' })
const dialogOf = (page: Page, name: string) => page.getByRole('dialog', { name })
const account = (page: Page) => page.getByRole('heading', { level: 1, name: 'Account' })
const signInHeading = (page: Page) => page.getByRole('heading', { level: 1, name: 'Sign in' })

async function signOut(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Sign out', exact: true }).click()
  await expect(page.getByRole('link', { name: 'Sign in' }).or(signInHeading(page))).toBeVisible()
}

async function signIn(page: Page, email: string, password: string): Promise<void> {
  await page.goto('/sign-in?next=/account')
  await page.getByLabel('E-mail').fill(email)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await expect(account(page)).toBeVisible()
}

async function signInWith(page: Page, wallet: string): Promise<void> {
  await page.goto('/sign-in?next=/account')
  await page.getByRole('button', { name: 'Continue with a wallet' }).click()
  await dialogOf(page, 'Sign in with a wallet').getByRole('button', { name: wallet }).click()
}

test('who was invited sets a password, and changes it by the one before', async ({ page, browser, watch }) => {
  watch.allow(/400|401/)
  await page.goto(await userLink(EMAIL, BASE_URL, {}, 'viewer'))
  await expect(account(page)).toBeVisible()
  await expect(page.getByText('a sign-in link works once')).toBeVisible()
  await expect(page.getByLabel('Present password')).toHaveCount(0)
  await settled(page)
  await expectAccessible(page)
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
  }
  await page.getByLabel('New password').fill('short')
  await page.getByRole('button', { name: 'Set the password' }).click()
  await expect(page.getByLabel('New password')).toBeFocused()
  await page.getByLabel('New password').fill(PASSWORD)
  await page.getByLabel('New password').press('Enter')
  await expect(page.getByText('Your password is set')).toBeVisible()
  await expect(page.getByText('a sign-in link works once')).toHaveCount(0)
  await expect(page.getByLabel('Present password')).toHaveAccessibleDescription(/you signed in by a link/)
  await expect(page.getByLabel('New password')).toHaveValue('')
  await signOut(page)

  // Without a link that is fresh the one before is asked for.
  await signIn(page, EMAIL, PASSWORD)
  await settled(page)
  await expect(page.getByLabel('Present password')).not.toHaveAccessibleDescription(/by a link/)
  const elsewhere = await (await browser.newContext({ storageState: NOBODY })).newPage()
  await signIn(elsewhere, EMAIL, PASSWORD)
  for (const wrong of ['', 'not the password']) {
    await page.getByLabel('Present password').fill(wrong)
    await page.getByLabel('New password').fill(NEXT_PASSWORD)
    await page.getByRole('button', { name: 'Change the password' }).click()
    await expect(page.getByLabel('Present password')).toHaveAttribute('aria-invalid', 'true')
    await expect(page.getByLabel('New password')).toHaveValue(NEXT_PASSWORD)
  }
  await page.getByLabel('Present password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Change the password' }).click()
  await expect(page.getByText('All your other sign-ins ended')).toBeVisible()
  await expect(page.getByRole('heading', { name: 'Password' })).toBeFocused()
  await expect(dialogOf(elsewhere, 'Sign in again')).toBeVisible()
  await elsewhere.context().close()
})

test('a wallet is linked, signs in, and signs out when it opens another account', async ({ page, context, watch }) => {
  watch.allow(/401|WebSocket/)
  const wallet = await addEvmWallet(context)
  const email = 'wallet@example.org'
  await page.goto(await userLink(email, BASE_URL, {}, 'viewer'))
  await expect(account(page)).toBeVisible()
  await page.getByLabel('New password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Set the password' }).click()
  await expect(page.getByText('Your password is set')).toBeVisible()
  await signOut(page)

  // One that is nobody's signs nobody in.
  await signInWith(page, 'Test Wallet')
  const signingIn = dialogOf(page, 'Sign in with a wallet')
  await expect(signingIn.getByRole('alert')).toContainText('is linked to no open account here')
  await page.keyboard.press('Escape')
  await expect(page.getByRole('button', { name: 'Continue with a wallet' })).toBeFocused()

  await signIn(page, email, PASSWORD)
  await expect(page.getByText('No wallets')).toBeVisible()
  await linkButton(page).press('Enter')
  const linking = dialogOf(page, 'Link a wallet')
  wallet.decline()
  await linking.getByRole('button', { name: 'Test Wallet' }).click()
  await expect(linking.getByRole('alert')).toHaveText('You declined in Test Wallet. Nothing was changed.')
  await expectAccessible(page)
  await page.setViewportSize({ width: 320, height: 900 })
  expect(await linking.evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth)).toBeLessThanOrEqual(0)
  await linking.getByRole('button', { name: 'Test Wallet' }).click()
  await expect(linking).toHaveCount(0)
  await expect(page.getByText('Linked: 0x')).toBeVisible()
  await expect(linkButton(page)).toBeFocused()
  await expect(page.locator('.wallets li')).toHaveCount(1)
  await expect(page.locator('.wallets li')).toContainText('Ethereum (EVM)')
  await expect(page.getByTitle(wallet.address, { exact: false })).toBeVisible()
  await settled(page)
  await expectAccessible(page)
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
    await page.getByRole('button', { name: 'Take away' }).scrollIntoViewIfNeeded()
    await expect(page.getByRole('button', { name: 'Take away' })).toBeInViewport({ ratio: 1 })
  }
  // Signed in with the password, the wallet may open what it likes.
  await wallet.say(page, 'accountsChanged', [])
  await signOut(page)

  await signInWith(page, 'Test Wallet')
  await expect(account(page)).toBeVisible()
  await page.goto('/account/sessions')
  await expect(page.locator('tbody tr', { hasText: 'This browser' })).toContainText('Wallet')
  await wallet.say(page, 'accountsChanged', [wallet.address.toLowerCase()])
  await page.goto('/')
  await settled(page)
  await wallet.say(page, 'accountsChanged', ['0x0000000000000000000000000000000000000001'])
  await expect(signInHeading(page)).toBeVisible()
  await expect(page.getByRole('alert')).toContainText('Test Wallet changed to another account')
  expect((await page.request.get('/api/v1/users/me')).status()).toBe(401)

  await signInWith(page, 'Test Wallet')
  await expect(account(page)).toBeVisible()
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  await wallet.say(page, 'chainChanged', '0xa')
  await expect(page.getByRole('alert')).toContainText('Test Wallet changed to another chain')
})

test('a wallet is taken away, unless it is all that signs in', async ({ page, context, watch }) => {
  watch.allow(/401|409|WebSocket/)
  const [evm, solana] = [await addEvmWallet(context), await addSolanaWallet(context)]
  const email = 'sun@example.org'
  await page.goto(await userLink(email, BASE_URL, {}, 'viewer'))
  await expect(account(page)).toBeVisible()
  for (const name of ['Test Wallet', 'Test Sun']) {
    await linkButton(page).click()
    await dialogOf(page, 'Link a wallet').getByRole('button', { name }).click()
    await expect(dialogOf(page, 'Link a wallet')).toHaveCount(0)
  }
  await expect(page.locator('.wallets li')).toHaveCount(2)
  await expect(page.getByText('Your wallets alone sign you in')).toBeVisible()
  await signOut(page)
  await signInWith(page, 'Test Sun')
  await expect(account(page)).toBeVisible()

  // The session ends under the page: who has no password comes back by the wallet, too.
  await context.clearCookies()
  await linkButton(page).click()
  await dialogOf(page, 'Link a wallet').getByRole('button', { name: 'Test Wallet' }).click()
  await dialogOf(page, 'Sign in again').getByRole('button', { name: 'Continue with a wallet' }).click()
  await dialogOf(page, 'Sign in with a wallet').getByRole('button', { name: 'Test Sun' }).click()
  await expect(dialogOf(page, 'Sign in again')).toHaveCount(0)
  await page.keyboard.press('Escape')
  await expect(dialogOf(page, 'Link a wallet')).toHaveCount(0)

  await page.getByRole('button', { name: 'Take away Ethereum' }).press('Enter')
  const taking = dialogOf(page, 'Take this wallet away')
  await expect(taking).toContainText(evm.address.slice(0, 6), { ignoreCase: true })
  await expectAccessible(page)
  await taking.getByRole('button', { name: 'Keep it' }).click()
  await expect(page.getByRole('button', { name: 'Take away Ethereum' })).toBeFocused()
  await page.keyboard.press('Enter')
  await taking.getByRole('button', { name: 'Take away' }).press('Enter')
  await expect(page.locator('.wallets li')).toHaveCount(1)
  await expect(page.getByRole('button', { name: 'Take away Solana' })).toBeFocused()
  await page.keyboard.press('Enter')
  await taking.getByRole('button', { name: 'Take away' }).click()
  await expect(taking.getByRole('alert')).toContainText('neither a password nor a wallet')
  await page.keyboard.press('Escape')
  await expect(page.getByTitle(solana.address)).toBeVisible()
})

test('without a wallet in the browser it says so, and a list that cannot be read does, too', async ({ page, watch }) => {
  watch.allow(/50\d/)
  await page.goto(await signInLink(EMAIL))
  await expect(page.getByRole('link', { name: EMAIL })).toBeVisible()
  const refuse = { status: 500, contentType: 'application/json', body: JSON.stringify({ error: { type: 'internal', message: 'The store did not answer.', request_id: 'req-77b1', details: {} } }) }
  await page.route('**/api/v1/wallets', (route) => route.fulfill(refuse))
  await page.goto('/account')
  await expect(page.getByRole('alert')).toContainText('req-77b1')
  await expect(page.getByText('No wallets')).toHaveCount(0)
  await page.unroute('**/api/v1/wallets')
  await page.getByRole('button', { name: 'Retry' }).click()
  await expect(page.getByText('No wallets')).toBeVisible()
  await linkButton(page).click()
  await expect(dialogOf(page, 'Link a wallet')).toContainText('No wallet in this browser')
  await expectAccessible(page)
})

/** Asks what to sign, and answers with the signature over it. */
async function proveTo(api: APIRequestContext, to: 'auth/wallet' | 'wallets', signer: Signer, csrf = '') {
  const headers = { ...(csrf && { 'x-csrf-token': csrf }) }
  const purpose = to === 'wallets' ? 'link' : 'sign_in'
  const asked = await api.post('/api/v1/auth/nonce', { headers, data: { purpose, kind: signer.kind, address: signer.address } })
  expect(asked.status()).toBe(200)
  const { message } = (await asked.json()) as { message: string }
  return api.post(`/api/v1/${to}`, { headers, data: await signer.answer(message) })
}

test('what the libraries of the chains sign is what the API takes', async ({ playwright }) => {
  const token = new URL(await userLink('signer@example.org', BASE_URL, {}, 'viewer')).hash.replace('#token=', '')
  const owner = await strangersApi(playwright)
  const me = (await (await owner.post('/api/v1/auth/redeem', { data: { token } })).json()) as { csrf_token: string }
  for (const signer of [evmSigner(), await solanaSigner(), cosmosSigner()]) {
    const stranger = await strangersApi(playwright)
    expect((await proveTo(stranger, 'auth/wallet', signer)).status(), signer.kind).toBe(401)
    expect((await proveTo(owner, 'wallets', signer, me.csrf_token)).status(), signer.kind).toBe(200)
    const signedIn = await proveTo(stranger, 'auth/wallet', signer)
    expect(await signedIn.json()).toMatchObject({ email: 'signer@example.org', has_password: false })
    await stranger.dispose()
  }
  await owner.dispose()
})
