import type { Page } from '@playwright/test'
import { arrive, dialogOf, rowOf, userOf } from './admin'
import { expect, expectAccessible, expectNoSidewaysScroll, settled, test } from './fixtures'
import { BASE_URL } from './place'
import { userLink } from './programs'

const LIST = '**/api/v1/api-keys*'

/** What a program is answered that has no browser. */
async function status(key: string, path: string): Promise<number> {
  const answer = await fetch(`${BASE_URL}/api/v1${path}`, { headers: { authorization: `Bearer ${key}` } })
  return answer.status
}

async function makeKey(page: Page, name: string, scopes: string[]): Promise<string> {
  await page.getByRole('button', { name: 'Make a key…' }).click()
  const dialog = dialogOf(page, 'Make an API key')
  await dialog.getByLabel('Name').fill(name)
  // One after the other, as somebody presses them.
  // oxlint-disable-next-line no-await-in-loop
  for (const scope of scopes) await dialog.getByRole('checkbox', { name: scope }).check()
  await dialog.getByRole('button', { name: 'Make the key' }).click()
  return (await dialogOf(page, `The key ${name}`).getByLabel('API key').innerText()).trim()
}

test('a key is made, shown once, used by a program, and dead once it is revoked', async ({ browser }) => {
  const page = await arrive(browser, await userLink('ola@example.org'))
  await page.goto('/account')
  await settled(page)
  await page.getByRole('link', { name: 'API keys' }).click()
  await expect(page).toHaveURL('/account/keys')
  await expect(page.getByText('No API keys')).toBeVisible()
  await expectAccessible(page)

  await page.getByRole('button', { name: 'Make a key…' }).press('Enter')
  const form = dialogOf(page, 'Make an API key')
  const makeIt = form.getByRole('button', { name: 'Make the key' })
  await expect(makeIt).toBeInViewport({ ratio: 0.99 })
  await expectAccessible(page)
  // What nothing takes yet is out of the way, and the buttons stay in sight where it is looked at.
  await expect(form.getByRole('checkbox')).toHaveCount(4)
  await form.getByText('7 more that nothing takes yet').press('Enter')
  await expect(form.getByRole('checkbox', { name: 'gateway' })).toBeDisabled()
  await expect(form).toContainText('Needs the role consumer')
  await expect(makeIt).toBeInViewport({ ratio: 0.99 })
  await form.getByText('7 more that nothing takes yet').press('Enter')
  await form.getByLabel('Name').fill('Night job')
  await form.getByRole('checkbox', { name: 'nodes.read' }).press('Space')
  await form.getByLabel('Models').fill('llama-3.1-8b, qwen2.5-7b')
  await form.getByLabel('Budget').fill('1,5')
  await expect(makeIt).toHaveAttribute('aria-disabled', 'true')
  await form.getByLabel('Budget').fill('25.50')
  await makeIt.press('Enter')

  const once = dialogOf(page, 'The key Night job')
  const key = (await once.getByLabel('API key').innerText()).trim()
  expect(key).toMatch(/^dgon_sk_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}$/)
  await expect(once.getByLabel('Example')).toHaveText(`curl -H "Authorization: Bearer $DGON_API_KEY" '${BASE_URL}/api/v1/nodes?owner=self'`)
  await expectAccessible(page)
  // Nothing but the button closes it.
  await page.keyboard.press('Escape')
  await page.mouse.click(5, 5)
  await expect(once).toBeVisible()
  await once.getByRole('button', { name: 'I have saved it' }).press('Enter')
  await expect(once).toHaveCount(0)
  const secret = key.slice(26)
  const kept = await page.evaluate(() => document.documentElement.outerHTML + location.href + JSON.stringify({ ...localStorage }) + JSON.stringify({ ...sessionStorage }))
  expect(kept).not.toContain(secret)

  const row = rowOf(page, 'Night job')
  await expect(row).toContainText(key.slice(0, 26))
  await expect(row).toContainText('Active')
  await expect(row).toContainText('2 models, $25.50')
  await expect(row).toContainText('Never')
  expect([await status(key, '/nodes'), await status(key, '/receipts'), await status(key, '/users/me')]).toEqual([200, 403, 403])
  await expect(row).not.toContainText('Never')
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
  }

  const revoke = row.getByRole('button', { name: 'Revoke Night job' })
  await revoke.press('Enter')
  const dialog = dialogOf(page, 'Revoke Night job')
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await expect(revoke).toBeFocused()
  expect(await status(key, '/nodes')).toBe(200)
  await revoke.press('Enter')
  await dialog.getByRole('button', { name: 'Revoke the key' }).press('Enter')
  await expect(page.getByText('Revoked: Night job')).toBeVisible()
  expect(await status(key, '/nodes')).toBe(401)
  await expect(row).toContainText('Revoked')
  await expect(revoke).toHaveCount(0)
  await expect(row.locator('[data-row-link]')).toBeFocused()
  await page.context().close()
})

test('an admin ends the key of somebody else', async ({ browser, page }) => {
  const other = await arrive(browser, await userLink('pim@example.org'))
  await other.goto('/account/keys')
  const key = await makeKey(other, 'In the wrong hands', ['nodes.read', 'receipts.read'])
  expect(await status(key, '/receipts')).toBe(200)
  await page.goto(`/users/${await userOf(page, 'pim@example.org')}`)
  await settled(page)
  await expectAccessible(page)
  await rowOf(page, 'In the wrong hands').getByRole('button', { name: 'Revoke In the wrong hands' }).click()
  await dialogOf(page, 'Revoke In the wrong hands').getByRole('button', { name: 'Revoke the key' }).click()
  await expect(rowOf(page, 'In the wrong hands')).toContainText('Revoked')
  expect(await status(key, '/receipts')).toBe(401)
  await other.context().close()
})

test('a list that cannot be read says so, and who may give nothing makes no key', async ({ browser, page, watch }) => {
  watch.allow(/500/)
  const viewer = await arrive(browser, await userLink('vik@example.org', BASE_URL, {}, 'viewer'))
  await viewer.goto('/account/keys')
  await settled(viewer)
  await expect(viewer.getByRole('button', { name: 'Make a key…' })).toHaveAttribute('aria-disabled', 'true')
  await viewer.context().close()
  const error = { type: 'internal', message: 'The store did not answer.', request_id: 'r_1', details: {} }
  await page.route(LIST, (route) => route.fulfill({ status: 500, json: { error } }))
  await page.goto('/account/keys')
  await expect(page.getByRole('alert')).toContainText('The store did not answer.')
})
