// Accounts that people make themselves where an admin has opened that, and what they take along when they go.
import { readFile } from 'node:fs/promises'
import type { APIRequestContext } from '@playwright/test'
import { ask, dialogOf, nav } from './admin'
import { NOBODY, expect, expectAccessible, expectNoSidewaysScroll, settled, strangersApi, test } from './fixtures'
import { ADMIN } from './place'
import { PASSWORD, account, press, signInHeading } from './second-factor'

const EMAIL = 'zoe@example.org'
const ORG = 'Rigs of Zoe'

test.use({ storageState: NOBODY })

let admin: APIRequestContext
const open = (enabled: boolean) => ask({ request: admin }, 'PUT', '/flags/open_registration', { enabled })

test.beforeAll(async ({ playwright }) => {
  admin = await strangersApi(playwright)
  const login = await admin.post('/api/v1/auth/login', { data: ADMIN })
  expect(login.ok(), await login.text()).toBe(true)
})
test.afterAll(async () => {
  // However the test ended: no other one finds it open.
  await open(false)
  await admin.dispose()
})

test('somebody makes an account, takes their data along, and deletes it', async ({ page, watch }) => {
  watch.allow(/400|401|409|WebSocket/)
  const makeAccount = page.getByRole('heading', { level: 1, name: 'Make an account' })
  const overview = page.getByRole('heading', { level: 1, name: 'Overview' })
  const link = page.getByRole('link', { name: 'Make an account' })

  // Where it is closed the page says so, and nothing leads to it.
  await page.goto('/register')
  await expect(page.getByText('Accounts are made by an admin here')).toBeVisible()
  await expect(page.getByLabel('E-mail')).toHaveCount(0)
  await expectAccessible(page)
  await page.getByRole('link', { name: 'To the sign-in' }).press('Enter')
  await expect(signInHeading(page)).toBeVisible()
  await expect(page.getByLabel('E-mail')).toBeVisible()
  await expect(link).toHaveCount(0)

  await open(true)
  await page.reload()
  await expectAccessible(page)
  await link.press('Enter')
  await expect(makeAccount).toBeVisible()
  await expect(page).toHaveURL('/register')
  await expect(makeAccount).toBeFocused()
  await expectAccessible(page)
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
  }

  // What the server has against it stands at its field, or under the form, and nothing that was typed is lost.
  const name = page.getByRole('textbox', { name: 'Name of your organisation' })
  await expect(name).toHaveAccessibleDescription('Nodes that you run belong to it.')
  await page.getByLabel('E-mail').fill(ADMIN.email)
  await page.getByLabel('Password').fill(PASSWORD)
  await name.fill('   ')
  await press(page, 'Make the account')
  await expect(name).toHaveAccessibleDescription(/1 to 64 characters/)
  await expectAccessible(page)
  await name.fill(ORG)
  await press(page, 'Make the account')
  await expect(page.getByRole('alert')).toHaveText('there is a user with this email already')
  await page.getByLabel('E-mail').fill(EMAIL)
  await page.keyboard.press('Enter')
  await expect(overview).toBeVisible()
  await expect(page).toHaveURL('/')
  await expect(page.getByText(EMAIL)).toBeVisible()
  await expect(nav(page)).toHaveText(['Overview', 'Nodes', 'Receipts', 'Run a node'])
  // Whoever is in has no use for that page.
  await page.goto('/register')
  await expect(overview).toBeVisible()
  await expect(page).toHaveURL('/')

  await page.goto('/account')
  await expect(account(page)).toBeVisible()
  await settled(page)
  const data = page.getByRole('region', { name: 'Your data' })
  await expect(data).toBeVisible()
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
  }
  const saving = page.waitForEvent('download')
  await press(data, 'Download my data')
  const file = await saving
  expect(file.suggestedFilename()).toBe('dgon-account.json')
  const text = await readFile(await file.path(), 'utf8')
  expect(JSON.parse(text)).toMatchObject({ email: EMAIL, is_cut: false, has_password: true, memberships: [{ org_name: ORG }], wallets: [] })
  expect(text).not.toContain(ADMIN.email)

  // Whoever changes their mind is where they were, and has lost nothing.
  const button = data.getByRole('button', { name: 'Delete my account…' })
  const dialog = dialogOf(page, 'Delete your account')
  await button.press('Enter')
  await expect(dialog).toContainText('The audit log keeps what you decided for nodes')
  await expect(dialog.getByRole('button', { name: 'Delete for good' })).toHaveAccessibleDescription('Type your e-mail address first')
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await expect(dialog).toHaveCount(0)
  await expect(button).toBeFocused()
  await page.keyboard.press('Enter')
  const typed = dialog.getByRole('textbox', { name: 'Your e-mail address' })
  await typed.fill(ADMIN.email)
  await expect(dialog.getByRole('button', { name: 'Delete for good' })).toHaveAccessibleDescription('Enter your password first')
  await dialog.getByLabel('Your password').fill(PASSWORD)
  await page.keyboard.press('Enter')
  await expect(typed).toHaveAccessibleDescription(/not the address of your account/)
  await expectAccessible(page)
  await typed.fill(EMAIL)
  await page.keyboard.press('Enter')

  // Nothing of the account is left: not on the page, not to sign in with, not on the list of the admins.
  await expect(signInHeading(page)).toBeVisible()
  await expect(page.getByRole('dialog')).toHaveCount(0)
  await expect(page).toHaveURL('/sign-in')
  await expect(page.getByRole('alert')).toContainText('Your account is deleted')
  await expect(page.getByText(EMAIL)).toHaveCount(0)
  await expectAccessible(page)
  await page.getByLabel('E-mail').fill(EMAIL)
  await page.getByLabel('Password').fill(PASSWORD)
  await press(page, 'Sign in')
  await expect(page.getByText('E-mail and password do not match an account here.')).toBeVisible()
  expect((await page.request.get('/api/v1/users/me')).status()).toBe(401)
  expect(await ask({ request: admin }, 'GET', `/users?q=${encodeURIComponent(EMAIL)}`)).toMatchObject({ items: [] })

  await open(false)
  await page.reload()
  await expect(page.getByRole('button', { name: 'Sign in', exact: true })).toBeVisible()
  await expect(link).toHaveCount(0)
})
