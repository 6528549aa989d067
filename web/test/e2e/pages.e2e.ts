import { expect, expectAccessible, expectNoSidewaysScroll, rowIds, settled, test } from './fixtures'
import { FLEET } from './place'

const ROUTES = ['/', '/nodes', `/nodes/${FLEET}-00000`, `/nodes/${FLEET}-00000?tab=receipts`, `/nodes/${FLEET}-00000?tab=hardware`, `/nodes/${FLEET}-00000?tab=history`, '/receipts', '/run', '/account', '/account/keys', '/no-such-page', '/nodes/no-such-node']

test.describe('every route', () => {
  for (const width of [1280, 360]) {
    test(`has no axe violation at ${width} px`, async ({ page, watch }) => {
      watch.allow(/404/)
      await page.setViewportSize({ width, height: 900 })
      for (const route of ROUTES) {
        await page.goto(route)
        await settled(page)
        await expectAccessible(page)
      }
      await page.goto('/receipts')
      await page.locator('tbody [data-row-link]').first().click()
      await expect(page.getByRole('heading', { name: 'Verify' })).toBeVisible()
      await expectAccessible(page)
    })
  }

  test('signing out is on every page of who is signed in', async ({ page, watch }) => {
    watch.allow(/404/)
    for (const route of ROUTES) {
      await page.goto(route)
      await settled(page)
      await expect(page.getByRole('button', { name: 'Sign out', exact: true })).toBeVisible()
    }
  })

  test('does not scroll sideways at 320 px', async ({ page, watch }) => {
    watch.allow(/404/)
    await page.setViewportSize({ width: 320, height: 800 })
    for (const route of ROUTES) {
      await page.goto(route)
      await settled(page)
      await expectNoSidewaysScroll(page)
    }
    await page.goto('/receipts')
    const [id = ''] = await rowIds(page.locator('tbody').page())
    await page.goto(`/receipts/${id}`)
    await settled(page)
    await expectNoSidewaysScroll(page)
  })
})

test('dialogs, drawer and toast have no axe violation', async ({ page }) => {
  await page.goto('/nodes')
  await settled(page)
  await page.keyboard.press('?')
  await expect(page.getByRole('dialog', { name: 'Help and settings' })).toBeVisible()
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await page.locator('tbody [data-row-link]').first().click()
  await expect(page.getByRole('dialog').getByRole('tab', { name: 'Hardware' })).toBeVisible()
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Quarantine…' }).click()
  await expect(page.getByLabel('Reason')).toBeVisible()
  await expectAccessible(page)
})

test('the policy of the server is strict and the answers are compressed', async ({ page }) => {
  const response = await page.goto('/')
  const policy = response?.headers()['content-security-policy'] ?? ''
  expect(policy).toContain("default-src 'none'")
  expect(policy).toContain("require-trusted-types-for 'script'")
  expect(policy).not.toContain('unsafe-inline')
  expect(policy).not.toContain('unsafe-eval')
  const script = await page.locator('script[src]').first().getAttribute('src')
  const asset = await page.request.get(script ?? '', { headers: { 'accept-encoding': 'br' } })
  expect(asset.headers()['content-encoding']).toBe('br')
  expect(asset.headers()['cache-control']).toContain('immutable')
  const missing = await page.request.get('/assets/gone-0000.js')
  expect(missing.status()).toBe(404)
})

test('the first stop is the skip link, and it leads to the content', async ({ page }) => {
  await page.goto('/nodes')
  await settled(page)
  await page.keyboard.press('Tab')
  const skip = page.getByRole('link', { name: 'Skip to content' })
  await expect(skip).toBeFocused()
  await page.keyboard.press('Enter')
  await expect(page.locator('main')).toBeFocused()
})

test('what Tab reaches has a ring of two pixels', async ({ page }) => {
  for (const route of ['/', '/nodes', '/receipts', '/run']) {
    await page.goto(route)
    await settled(page)
    for (let i = 0; i < 24; i += 1) {
      await page.keyboard.press('Tab')
      const ring = await page.evaluate(() => {
        const focused = document.activeElement
        if (!focused || focused === document.body) return null
        const widths = [focused, focused.closest('label')].filter((element) => element !== null).flatMap((element) => ['', '::after'].map((pseudo) => getComputedStyle(element, pseudo || undefined)))
        return { width: Math.max(...widths.map((style) => (style.outlineStyle === 'none' ? 0 : Number.parseFloat(style.outlineWidth)))), html: focused.outerHTML.slice(0, 120) }
      })
      if (ring) expect(ring.width, `${route}: ${ring.html}`).toBeGreaterThanOrEqual(2)
    }
  }
})

test('a navigation moves focus to the heading, the title and the live region', async ({ page }) => {
  await page.goto('/')
  await settled(page)
  await page.keyboard.press('g')
  await page.keyboard.press('n')
  await expect(page.getByRole('heading', { level: 1, name: 'Nodes' })).toBeFocused()
  await expect(page).toHaveTitle('Nodes · DGON')
  await expect(page.getByTestId('announcer')).toHaveText('Nodes')
})

test('single keys stay off while typing and can be turned off', async ({ page }) => {
  await page.goto('/receipts')
  await settled(page)
  await page.keyboard.press('/')
  const box = page.getByRole('searchbox', { name: 'Search receipts' })
  await expect(box).toBeFocused()
  await page.keyboard.type('?gn')
  await expect(box).toHaveValue('?gn')
  await expect(page.getByRole('dialog')).toHaveCount(0)
  await page.keyboard.press('Escape')
  await page.keyboard.press('?')
  await page.getByLabel('Single-key shortcuts').uncheck()
  await page.getByRole('button', { name: 'Close' }).click()
  await page.keyboard.press('?')
  await expect(page.getByRole('dialog')).toHaveCount(0)
})

test('the overview shows the fleet, its course and the same as a table', async ({ page }) => {
  await page.goto('/')
  await settled(page)
  const figures = page.getByRole('list', { name: 'Figures' })
  await expect(figures.getByRole('listitem').filter({ hasText: 'Active nodes' })).toBeVisible()
  await expect(page.locator('.kpi')).toHaveCount(4)
  await expect.poll(() => page.locator('.kpi-value').nth(2).innerText()).not.toBe('0')
  const isDrawn = () =>
    page.evaluate(() =>
      [...document.querySelectorAll('canvas')].map((canvas) => {
        const pixels = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? []
        return pixels.some((value) => value !== 0)
      }),
    )
  await expect.poll(isDrawn).toEqual([true, true, true, true])
  await page.getByText('The same as a table').click()
  await expect(page.getByRole('region', { name: 'Last 24 hours as a table' }).getByRole('row')).toHaveCount(97)
})

test('an error names its request and offers a retry; it is never an empty list', async ({ page, watch }) => {
  watch.allow(/500/)
  await page.route('**/api/v1/nodes?*', (route) =>
    route.fulfill({ status: 500, contentType: 'application/json', body: JSON.stringify({ error: { type: 'internal', message: 'The store did not answer.', request_id: 'req-8f3a', details: {} } }) }),
  )
  await page.goto('/nodes')
  await expect(page.getByRole('alert')).toContainText('req-8f3a')
  await expect(page.getByText('No nodes yet')).toHaveCount(0)
  await page.unroute('**/api/v1/nodes?*')
  await page.getByRole('button', { name: 'Retry' }).click()
  await expect(page.locator('tbody tr').first()).toBeVisible()
})
