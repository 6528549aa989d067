import { NOBODY, expect, settled, test } from './fixtures'
import { ADMIN } from './place'

test.describe('without a session', () => {
  test.use({ storageState: NOBODY })

  test('a page leads to the sign-in and the sign-in back to the page', async ({ page, watch }) => {
    await page.goto('/nodes?status=active')
    await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible()
    watch.allow(/401/)
    await page.getByLabel('E-mail').fill(ADMIN.email)
    await page.getByLabel('Password').fill('not the password')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await expect(page.getByRole('alert')).toContainText('do not match')
    await page.getByLabel('Password').fill(ADMIN.password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await expect(page).toHaveURL(/\/nodes\?status=active$/)
  })

  test('a stranger sees the overview, live, and nothing of the rest', async ({ page }) => {
    await page.goto('/')
    await settled(page)
    await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible()
    await expect(page.getByText('Live', { exact: true })).toBeVisible()
    await expect(page.getByRole('navigation', { name: 'Main' }).getByRole('link')).toHaveText(['Overview'])
    await expect(page.getByRole('link', { name: 'Sign in' })).toBeVisible()
    // No card leads to a page that would ask them to sign in.
    await expect(page.locator('.kpi')).toHaveCount(4)
    await expect(page.getByRole('main').getByRole('link')).toHaveCount(0)
  })

  test('a link that is no link of this server says so', async ({ page, watch }) => {
    watch.allow(/40\d/)
    await page.goto('/sign-in#token=dgon_link_nothing')
    await expect(page.getByRole('alert')).toContainText('did not work')
    await expect(page).not.toHaveURL(/token/)
  })

  test('a session that ends under a form asks for the password over it and keeps the text', async ({ page, context, watch }) => {
    watch.allow(/401|WebSocket/)
    await page.goto('/sign-in')
    await page.getByLabel('E-mail').fill(ADMIN.email)
    await page.getByLabel('Password').fill(ADMIN.password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible()
    await page.goto('/run')
    await page.getByLabel('Region').selectOption('eu-north')
    await context.clearCookies()
    await page.getByRole('button', { name: 'Make the command' }).click()
    const dialog = page.getByRole('dialog', { name: 'Sign in again' })
    await expect(dialog).toBeVisible()
    await page.keyboard.press('Escape')
    await expect(dialog).toBeVisible()
    await expect(page.locator('.live')).toContainText('Signed out')
    await dialog.getByLabel('Password').fill(ADMIN.password)
    await dialog.getByRole('button', { name: 'Sign in' }).click()
    await expect(dialog).toHaveCount(0)
    await expect(page.locator('.live')).not.toContainText('Signed out')
    await expect(page.getByLabel('Region')).toHaveValue('eu-north')
    await page.getByRole('button', { name: 'Make the command' }).click()
    await expect(page.getByRole('heading', { name: 'The command' })).toBeVisible()
  })

  test('signing out ends it', async ({ page }) => {
    await page.goto('/sign-in')
    await page.getByLabel('E-mail').fill(ADMIN.email)
    await page.getByLabel('Password').fill(ADMIN.password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await settled(page)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await expect(page.getByRole('link', { name: 'Sign in' })).toBeVisible()
    await page.goto('/receipts')
    await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible()
  })
})
