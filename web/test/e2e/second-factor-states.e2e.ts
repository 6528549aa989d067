// The second factor where the server says no: each in its place, with what to do about it.
import { dialogOf } from './admin'
import { authenticator } from './authenticator'
import { NOBODY, expect, expectAccessible, settled, test } from './fixtures'
import { PASSWORD, WRONG, account, begin, code, join, ownPassword, panel, press, setUp, shownCodes, signOut } from './second-factor'

test.use({ storageState: NOBODY })

test('what the server refuses is said in its place', async ({ page, watch }) => {
  watch.allow(/40\d|429|50\d/)
  const email = 'otto@example.org'
  const refuse = (status: number, type: string, message: string, details = {}, headers = {}) => ({ status, headers, contentType: 'application/json', body: JSON.stringify({ error: { type, message, request_id: 'req-2f41', details } }) })
  await join(page, email)
  const offers = '**/api/v1/users/me/second-factor/offer'
  await page.route(offers, (route) => route.fulfill(refuse(403, 'forbidden', 'you signed in more than 15 minutes ago; sign in again to do this', { sign_in: 'again' })))
  await press(panel(page), 'Set up…')
  await expect(setUp(page).getByRole('alert')).toContainText('sign in again to do this')
  await expect(setUp(page).getByRole('alert')).not.toContainText('Your role')
  await expect(setUp(page).getByRole('button', { name: 'Retry' })).toHaveCount(0)
  await expectAccessible(page)
  await page.unroute(offers)
  // The way to a newer sign-in is over the page: whoever goes it is where they were, and whoever does not, too.
  const newer = dialogOf(page, 'Sign in again')
  await press(setUp(page), 'Sign in again…')
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await expect(newer).toHaveCount(0)
  await expect(setUp(page).getByRole('button', { name: 'Sign in again…' })).toBeFocused()
  await page.keyboard.press('Enter')
  await expect(newer.getByLabel('E-mail')).toHaveValue(email)
  await newer.getByLabel('Password').fill(PASSWORD)
  await page.keyboard.press('Enter')
  await expect(newer).toHaveCount(0)
  await expect(setUp(page).getByLabel('Secret', { exact: true })).toBeVisible()
  await page.keyboard.press('Escape')
  await page.route(offers, (route) => route.fulfill(refuse(500, 'internal', 'The store did not answer.')), { times: 1 })
  await press(panel(page), 'Set up…')
  await expect(setUp(page).getByRole('alert')).toContainText('req-2f41')
  await press(setUp(page), 'Retry')
  const before = await setUp(page).getByLabel('Secret', { exact: true }).innerText()
  await page.route('**/api/v1/users/me/second-factor', (route) => route.fulfill(refuse(401, 'invalid_token', 'this took too long')), { times: 1 })
  await code(setUp(page)).fill(WRONG)
  await ownPassword(setUp(page)).fill(PASSWORD)
  await page.keyboard.press('Enter')
  await expect(setUp(page).getByRole('alert')).toContainText('here is another secret')
  await expect(setUp(page).getByLabel('Secret', { exact: true })).not.toHaveText(before)
  const app = authenticator(await setUp(page).getByLabel('Secret', { exact: true }).innerText())
  await code(setUp(page)).fill(app.next())
  await ownPassword(setUp(page)).fill('not the password')
  await page.keyboard.press('Enter')
  await expect(ownPassword(setUp(page))).toHaveAccessibleDescription(/not your present password/)
  await ownPassword(setUp(page)).fill(PASSWORD)
  await page.keyboard.press('Enter')
  await press(shownCodes(page), 'I have kept them')

  for (const [left, tone] of [
    [3, 'amber'],
    [0, 'red'],
  ] as const) {
    await page.route('**/api/v1/users/me', async (route) => {
      const response = await route.fetch()
      const me = (await response.json()) as { second_factor: object }
      await route.fulfill({ response, json: { ...me, second_factor: { ...me.second_factor, recovery_codes_left: left } } })
    })
    await page.reload()
    await expect(panel(page).locator(`.notice-${tone}`)).toContainText(left === 0 ? 'No recovery codes are left' : '3 recovery codes are left')
    await settled(page)
    await expectAccessible(page)
    await page.unroute('**/api/v1/users/me')
  }
  await signOut(page)
  await begin(page, email)
  await page.route('**/api/v1/auth/second-factor', (route) => route.fulfill(refuse(429, 'rate_limited', 'too often', {}, { 'retry-after': '312' })), { times: 1 })
  await code(page).fill(WRONG)
  await page.keyboard.press('Enter')
  await expect(code(page)).toHaveAccessibleDescription(/in 5 min 12 s; a recovery code still works now/)
  await code(page).fill(app.next())
  await page.keyboard.press('Enter')
  await expect(account(page)).toBeVisible()
})
