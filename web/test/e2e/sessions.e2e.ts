import type { Browser, Page } from '@playwright/test'
import { NOBODY, expect, expectAccessible, expectNoSidewaysScroll, rowIds, settled, test } from './fixtures'
import { ADMIN, BASE_URL } from './place'
import { signInLink, userLink } from './programs'

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0'
const SAFARI = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15'
const MONITOR = 'acme-monitor/3.1 <script>'
// Of their own, so that no other test loses the sign-in that it goes on with; and with the role that may least.
const EMAIL = 'nour@example.org'

/** A browser that calls itself so, signed in by a link. */
async function signedIn(browser: Browser, userAgent: string, link: string): Promise<Page> {
  const context = await browser.newContext({ storageState: NOBODY, userAgent })
  const page = await context.newPage()
  await page.goto(link)
  await expect(page.getByRole('link', { name: EMAIL })).toBeVisible()
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  return page
}

const rowOf = (page: Page, name: string) => page.locator('tbody tr', { hasText: name })
const signOut = (page: Page, name: string) => rowOf(page, name).getByRole('button', { name: `Sign out ${name}` })
const askedAgain = (page: Page) => page.getByRole('dialog', { name: 'Sign in again' })

/** As whom the server greets each live socket of the page. */
function rolesHeard(page: Page): string[] {
  const roles: string[] = []
  page.on('websocket', (socket) => {
    if (!socket.url().endsWith('/api/v1/live')) return
    socket.on('framereceived', ({ payload }) => {
      const frame = JSON.parse(String(payload)) as { type: string; data: { role?: string } }
      if (frame.type === 'hello') roles.push(frame.data.role ?? '')
    })
  })
  return roles
}

test('one sees where one is signed in and ends it there, at once', async ({ browser }) => {
  const here = await signedIn(browser, FIREFOX, await userLink(EMAIL, BASE_URL, {}, 'viewer'))
  const there = await signedIn(browser, SAFARI, await signInLink(EMAIL))
  const monitor = await signedIn(browser, MONITOR, await signInLink(EMAIL))

  await here.getByRole('link', { name: EMAIL }).click()
  await expect(here).toHaveURL('/account')
  await here.getByRole('link', { name: 'Sign-ins' }).click()
  await expect(here).toHaveURL('/account/sessions')
  await settled(here)
  await expect(here.locator('tbody tr')).toHaveCount(3)
  await expect(here.locator('tbody tr').first()).toContainText('Firefox on Linux')
  await expect(here.locator('tbody tr', { hasText: 'This browser' })).toHaveCount(1)
  const row = rowOf(here, 'Safari on macOS')
  const told = (await (await here.request.get('/api/v1/sessions')).json()) as { items: { user_agent: string; ip: string }[] }
  await expect(row).toContainText(told.items.find((one) => one.user_agent === SAFARI)?.ip ?? 'none')
  await expect(row).toContainText('Sign-in link')
  await expect(rowOf(here, 'Unknown browser').getByTitle(MONITOR)).toBeVisible()
  await expectAccessible(here)
  for (const width of [320, 1280]) {
    await here.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(here)
    await expect(signOut(here, 'Safari on macOS')).toBeInViewport({ ratio: 1 })
  }

  // Whoever changes their mind is where they were.
  await signOut(here, 'Safari on macOS').press('Enter')
  const dialog = here.getByRole('dialog', { name: 'Sign out Safari on macOS' })
  await expect(dialog).toContainText(SAFARI)
  await expectAccessible(here)
  await here.keyboard.press('Escape')
  await expect(dialog).toHaveCount(0)
  await expect(signOut(here, 'Safari on macOS')).toBeFocused()

  const at = (await rowIds(here)).indexOf((await signOut(here, 'Safari on macOS').getAttribute('data-row-link')) ?? '')
  await here.keyboard.press('Enter')
  await dialog.getByRole('button', { name: 'Sign out' }).press('Enter')
  await expect(askedAgain(there)).toBeVisible()
  await expect(askedAgain(there)).toContainText('Your session ended')
  expect((await there.request.get('/api/v1/users/me')).status()).toBe(401)
  await expect(here.getByText('Signed out: Safari on macOS')).toBeVisible()
  await expect(row).toHaveCount(0)
  await expect(dialog).toHaveCount(0)
  // The row that came into its place has the focus.
  const left = await rowIds(here)
  await expect(here.locator(`[data-row-link="${left[Math.min(at, left.length - 1)]}"]`)).toBeFocused()
  await expect(askedAgain(monitor)).toHaveCount(0)

  // A new one is there for whoever comes back to look.
  await there.goto(await signInLink(EMAIL))
  await expect(there.getByRole('link', { name: EMAIL })).toBeVisible()
  await here.evaluate(() => globalThis.dispatchEvent(new Event('visibilitychange')))
  await expect(row).toHaveCount(1)

  const everywhere = here.getByRole('button', { name: 'Sign out everywhere else' })
  await everywhere.click()
  await expect(here.getByRole('dialog')).toContainText('2 other browsers are signed out at once')
  await here.getByRole('dialog').getByRole('button', { name: 'Sign out everywhere else' }).click()
  for (const page of [there, monitor]) await expect(askedAgain(page)).toBeVisible()
  await expect(here.locator('tbody tr')).toHaveCount(1)
  await expect(everywhere).toBeFocused()
  await expect(everywhere).toHaveAttribute('aria-disabled', 'true')
  await expect(everywhere).toHaveAccessibleDescription('You are signed in nowhere else')

  await signOut(here, 'Firefox on Linux').click()
  await here.getByRole('dialog', { name: 'Sign out this browser' }).getByRole('button', { name: 'Sign out' }).click()
  await expect(here.getByRole('heading', { name: 'Sign in' })).toBeVisible()
  await expect(here).toHaveURL(/\/sign-in/)
  expect((await here.request.get('/api/v1/users/me')).status()).toBe(401)
  for (const page of [here, there, monitor]) await page.context().close()
})

test('who was signed out and signs in again over the page is told live again what is theirs', async ({ page, browser }) => {
  const context = await browser.newContext({ storageState: NOBODY, userAgent: SAFARI })
  const there = await context.newPage()
  const roles = rolesHeard(there)
  await there.goto('/sign-in')
  await there.getByLabel('E-mail').fill(ADMIN.email)
  await there.getByLabel('Password').fill(ADMIN.password)
  await there.getByRole('button', { name: 'Sign in' }).click()
  await expect.poll(() => roles.at(-1)).toBe('admin')

  await page.goto('/account/sessions')
  await signOut(page, 'Safari on macOS').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Sign out' }).click()
  await expect(askedAgain(there)).toBeVisible()
  // The overview is open to strangers, and so is the socket.
  await expect.poll(() => roles.at(-1)).toBe('anonymous')
  await askedAgain(there).getByLabel('Password').fill(ADMIN.password)
  await askedAgain(there).getByRole('button', { name: 'Sign in' }).click()
  await expect(askedAgain(there)).toHaveCount(0)
  await expect.poll(() => roles.at(-1)).toBe('admin')
  await context.close()
})

test('pages of a browser in which somebody signs in anew go on with the new session', async ({ browser }) => {
  const one = await signedIn(browser, FIREFOX, await signInLink(EMAIL))
  const other = await one.context().newPage()
  const heard = [one, other].map(rolesHeard)
  for (const page of [one, other]) {
    await page.goto('/account')
    await settled(page)
    await expect(page.getByText('Live', { exact: true })).toBeVisible()
  }
  const before = (await (await one.request.get('/api/v1/sessions')).json()) as { items: { id: string; is_current: boolean }[] }
  const token = new URL(await signInLink(EMAIL)).hash.replace('#token=', '')
  expect((await one.request.post('/api/v1/auth/redeem', { data: { token } })).status()).toBe(200)
  for (const [index, page] of [one, other].entries()) {
    await expect.poll(() => heard[index]?.length).toBe(2)
    expect(heard[index]?.at(-1)).toBe('viewer')
    await expect(page.getByText('Live', { exact: true })).toBeVisible()
    await expect(askedAgain(page)).toHaveCount(0)
  }
  const after = (await (await one.request.get('/api/v1/sessions')).json()) as { items: { id: string; is_current: boolean }[] }
  expect(after.items).toHaveLength(before.items.length)
  expect(after.items.map(({ id }) => id)).not.toContain(before.items.find(({ is_current: isCurrent }) => isCurrent)?.id)
  // What changes something has the token of the new session.
  await signOut(one, 'Firefox on Linux').or(one.getByRole('button', { name: 'Sign out', exact: true })).first().click()
  await expect.poll(async () => (await one.request.get('/api/v1/users/me')).status()).toBe(401)
  await one.context().close()
})

test('a list that cannot be read says so, and all other sign-ins can be ended without it', async ({ page, watch }) => {
  watch.allow(/50\d/)
  const refuse = { status: 500, contentType: 'application/json', body: JSON.stringify({ error: { type: 'internal', message: 'The store did not answer.', request_id: 'req-51a0', details: {} } }) }
  await page.route('**/api/v1/sessions', (route) => route.fulfill(refuse))
  await page.goto('/account/sessions')
  await expect(page.getByRole('alert')).toContainText('req-51a0')
  await expect(page.getByText('No sign-ins')).toHaveCount(0)
  await page.getByRole('button', { name: 'Sign out everywhere else' }).click()
  const dialog = page.getByRole('dialog', { name: 'Sign out everywhere else' })
  await expect(dialog).toContainText('Every other browser is signed out at once.')
  await dialog.getByRole('button', { name: 'Sign out everywhere else' }).click()
  await expect(dialog.getByRole('alert')).toContainText('The store did not answer.')
  await page.keyboard.press('Escape')
  await page.unroute('**/api/v1/sessions')
  await page.getByRole('button', { name: 'Retry' }).click()
  await expect(page.locator('tbody tr', { hasText: 'This browser' })).toHaveCount(1)
  await page.route('**/api/v1/sessions', (route) => route.fulfill({ json: { items: [] } }))
  await page.reload()
  await expect(page.getByText('No sign-ins')).toBeVisible()
})
