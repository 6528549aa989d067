import { readFileSync } from 'node:fs'
import { expect, expectAccessible, test } from './fixtures'
import { ADMIN, SETUP_LINK, SIGNED_IN } from './place'

test('the link of a fresh server makes the first admin, once', async ({ page, context }) => {
  const link = readFileSync(SETUP_LINK, 'utf8').trim()
  await page.goto('/setup')
  await expect(page.getByText('Open the link that the control plane printed')).toBeVisible()

  await page.goto(link)
  await page.reload()
  await expect(page).toHaveURL(/\/setup/)
  await page.goto('about:blank')
  await page.goto(link)
  await expect(page.getByRole('heading', { name: 'Set up DGON' })).toBeVisible()
  // The token leaves the address as soon as it was read.
  await expect(page).not.toHaveURL(/token/)
  await expectAccessible(page)
  await page.getByLabel('E-mail').fill(ADMIN.email)
  await page.getByLabel('Password').fill(ADMIN.password)
  await page.getByRole('button', { name: 'Create the first admin' }).click()
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible()
  await expect(page.getByText(ADMIN.email)).toBeVisible()
  await context.storageState({ path: SIGNED_IN })

  const stranger = await context.browser()?.newContext()
  const second = await stranger?.newPage()
  if (!second) throw new Error('no second browser context')
  await second.goto(link)
  await expect(second.getByText('has its first admin already')).toBeVisible()
  await stranger?.close()
})
