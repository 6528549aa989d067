// Screens that said what is not so, each as a person met it.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from '@playwright/test'
import { NOBODY, expect, rowIds, settled, test } from './fixtures'
import { ADMIN, BASE_URL, FLEET, PLACE } from './place'
import { type Running, controlPlane, freePort, start, userLink } from './programs'

const running: Running[] = []
test.afterAll(async () => {
  for (const program of running.toReversed()) await program.stop()
})

/** Presses a form's button twice before the page is drawn again: a double click, or Enter held down. */
const submitTwice = (page: Page) =>
  page.locator('main form, dialog form').last().evaluate((form: HTMLFormElement) => {
    form.requestSubmit()
    form.requestSubmit()
  })

function postsTo(page: Page, path: RegExp): string[] {
  const seen: string[] = []
  page.on('request', (request) => {
    if (request.method() === 'POST' && path.test(request.url())) seen.push(request.url())
  })
  return seen
}

test('the next page begins where this one ends, also after receipts arrived', async ({ page }) => {
  await page.goto('/receipts')
  await settled(page)
  const [top] = await rowIds(page)
  await expect.poll(async () => (await rowIds(page))[0]).not.toBe(top)
  // Under a hand the rows hold still; the keyboard presses the button.
  await page.locator('tbody tr').nth(2).hover()
  const first = await rowIds(page)
  expect(first).toHaveLength(50)
  await page.getByRole('button', { name: 'Next' }).press('Enter')
  await expect(page).toHaveURL(/cursor=/)
  await settled(page)
  const second = await rowIds(page)
  // The API tells them in one list. Newer ones may be before them.
  const { items } = (await (await page.request.get('/api/v1/receipts?limit=200')).json()) as { items: { request_id: string }[] }
  const ids = items.map((row) => row.request_id)
  const at = ids.indexOf(first.at(-1) ?? '')
  expect(at).toBeGreaterThanOrEqual(49)
  expect(second).toEqual(ids.slice(at + 1, at + 1 + second.length))
})

test('a form that is submitted twice is sent once', async ({ page, context }) => {
  const tokens = async () => ((await (await page.request.get('/api/v1/enrolment-tokens?limit=1')).json()) as { total: number }).total
  await page.goto('/run')
  await page.evaluate(() => sessionStorage.clear())
  await page.reload()
  await expect(page.getByRole('button', { name: 'Make the command' })).toBeVisible()
  const before = await tokens()
  const made = postsTo(page, /enrolment-tokens/)
  await submitTwice(page)
  await expect(page.getByRole('heading', { name: 'The command' })).toBeVisible()
  expect(made).toHaveLength(1)
  expect(await tokens()).toBe(before + 1)

  const id = `${FLEET}-00006`
  await page.goto(`/nodes/${id}`)
  for (const [button, word] of [['Quarantine…', 'Quarantine'], ['Release from quarantine…', 'Release']] as const) {
    const acts = postsTo(page, /actions/)
    await page.getByRole('button', { name: button }).click()
    await page.getByLabel('Reason').fill('twice')
    await submitTwice(page)
    await expect(page.getByText(`${word}: done for ${id}`)).toBeVisible()
    expect(acts, button).toHaveLength(1)
  }

  const stranger = await context.browser()?.newContext({ storageState: NOBODY })
  const second = await stranger?.newPage()
  if (!second) throw new Error('no second browser context')
  await second.goto('/sign-in')
  await second.getByLabel('E-mail').fill(ADMIN.email)
  await second.getByLabel('Password').fill(ADMIN.password)
  const signIns = postsTo(second, /login/)
  await submitTwice(second)
  await expect(second.getByRole('heading', { name: 'Overview' })).toBeVisible()
  expect(signIns).toHaveLength(1)
  await stranger?.close()
})

test('a receipt of a version that is not known cannot be checked, which is not invalid', async ({ page }) => {
  await page.goto('/receipts')
  await settled(page)
  const id = (await rowIds(page))[4] ?? ''
  await page.route(`**/api/v1/receipts/${id}/raw?*`, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, body: (await response.text()).replace('"version":"1.1"', '"version":"7.0"') })
  })
  await page.goto(`/receipts/${id}`)
  await page.getByRole('button', { name: 'Verify in this browser' }).click()
  await expect(page.locator('.verdict')).toContainText('Cannot check')
  await expect(page.locator('.verdict')).toContainText('version "7.0" of receipts is not known')
  await expect(page.locator('.verdict .notice-red, .verdict .notice-green, .step-fail')).toHaveCount(0)
  await expect(page.locator('[data-state="unknown"]')).toHaveCount(6)
})

test('text has the size that is meant, and a person may choose a larger one', async ({ page }) => {
  await page.goto('/nodes')
  await settled(page)
  const size = (selector: string) => page.locator(selector).first().evaluate((element) => getComputedStyle(element).fontSize)
  expect(await size('html')).toBe('16px')
  expect(await size('body')).toBe('14px')
  expect(await size('h1')).toBe('22px')
  expect(await size('tbody td')).toMatch(/^1[34]px$/)
  for (const list of ['/nodes', '/receipts']) {
    await page.goto(list)
    await settled(page)
    const cut = await page.locator('thead th').evaluateAll((titles) => titles.filter((title) => title.scrollWidth > title.clientWidth).map((title) => title.textContent))
    expect(cut, `titles that do not fit on ${list}`).toEqual([])
  }
  await page.evaluate(() => (document.documentElement.style.fontSize = '32px'))
  expect(await size('body')).toBe('28px')
})

test('a single measurement is drawn', async ({ page }) => {
  await page.route('**/api/v1/summary/trends', async (route) => {
    const response = await route.fetch()
    const trends = (await response.json()) as { series: Record<string, (number | null)[]> }
    // A network that answered for one quarter of an hour, and has answered nothing since.
    const series = Object.fromEntries(Object.entries(trends.series).map(([name, values]) => [name, values.map((_, i) => (name.endsWith('ms') ? (i === 40 ? 250 : null) : 0))]))
    await route.fulfill({ response, json: { ...trends, series } })
  })
  await page.goto('/')
  await settled(page)
  const chart = page.getByRole('figure', { name: /Time to first token/ }).locator('canvas')
  await expect(chart).toBeVisible()
  const inked = () =>
    chart.evaluate((canvas: HTMLCanvasElement) => {
      const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: new Uint8ClampedArray() }
      // The series' own colours: more blue or green than any grey of axes and grid.
      let count = 0
      for (let i = 0; i < data.length; i += 4) {
        const [r = 0, g = 0, b = 0, a = 0] = data.slice(i, i + 4)
        if (a > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 90) count += 1
      }
      return count
    })
  await expect.poll(inked).toBeGreaterThan(10)
})

test('a viewer is told what is not theirs to see, and asks for none of it', async ({ browser }) => {
  const context = await browser.newContext({ storageState: NOBODY })
  const page = await context.newPage()
  const asked: string[] = []
  page.on('request', (request) => {
    if (/api\/v1\/receipts/.test(request.url())) asked.push(request.url())
  })
  await page.goto(await userLink('viewer@example.org', BASE_URL, {}, 'viewer'))
  await expect(page.getByRole('heading', { name: 'Account' })).toBeVisible()
  await page.goto('/')
  await expect(page.getByRole('navigation', { name: 'Main' }).getByRole('link')).toHaveText(['Overview', 'Nodes'])
  await expect(page.getByRole('heading', { name: 'Requests, 24 h' })).toBeVisible()
  await expect(page.getByRole('link', { name: 'Requests, 24 h' })).toHaveCount(0)
  await page.keyboard.press('/')
  await expect(page).toHaveURL(/\/nodes$/)
  await page.goto('/receipts')
  await expect(page.getByText('Your account may not see receipts')).toBeVisible()
  await page.goto('/nodes')
  await settled(page)
  const [node] = await rowIds(page)
  await page.goto(`/nodes/${node}`)
  await expect(page.getByText("Shown to the node's operator").first()).toBeAttached()
  await expect(page.getByText('Not probed yet')).toHaveCount(0)
  await page.goto(`/nodes/${node}?tab=receipts`)
  await expect(page.getByText('Receipts are not shown here')).toBeVisible()
  await page.goto(`/nodes/${node}?tab=hardware`)
  await expect(page.getByText("Shown to the node's operator").first()).toBeAttached()
  await page.goto(`/nodes/${node}?tab=history`)
  await expect(page.getByText('Who or what made a change')).toBeVisible()
  expect(asked).toEqual([])
  await context.close()
})

test('nothing in the sidebar is wider than it, however long the address', async ({ browser }) => {
  const link = await userLink(`a-very-long-name-of-somebody-with-many-names@${'department-'.repeat(4)}example.org`)
  const context = await browser.newContext({ storageState: NOBODY })
  const page = await context.newPage()
  await page.goto(link)
  await settled(page)
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 900 })
    const over = await page.locator('.sidebar').evaluate((sidebar) => {
      const edge = sidebar.getBoundingClientRect().right
      return [...sidebar.querySelectorAll('*')].filter((part) => part.getBoundingClientRect().right > edge).map((part) => part.className.toString())
    })
    expect(over, `${width} px`).toEqual([])
    await expect(page.getByRole('button', { name: 'Sign out' })).toBeInViewport({ ratio: 1 })
  }
  await context.close()
})

test('with the control plane away a page that was never open waits for it, and opens by itself', async ({ browser }) => {
  test.setTimeout(120_000)
  const port = await freePort()
  const dataDir = join(PLACE, 'away')
  rmSync(dataDir, { recursive: true, force: true })
  mkdirSync(dataDir)
  const serve = () => start('away', controlPlane(), ['serve', '--bind', `127.0.0.1:${port}`], { DGON_DATA_DIR: dataDir })
  let server = serve()
  running.push(server)
  const [link = ''] = await server.says(/http\S+\/setup#token=\S+/)
  // Its own watch: what fails here fails on purpose.
  const context = await browser.newContext({ storageState: NOBODY })
  const page = await context.newPage()
  await page.goto(link)
  await page.getByLabel('E-mail').fill(ADMIN.email)
  await page.getByLabel('Password').fill(ADMIN.password)
  const setUps = postsTo(page, /auth\/setup/)
  await submitTwice(page)
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible()
  expect(setUps).toHaveLength(1)
  await settled(page)

  await server.stop()
  await page.getByRole('link', { name: 'Receipts' }).click()
  await expect(page.getByText('The control plane does not answer. What you asked for opens by itself')).toBeVisible()
  await expect(page.getByRole('heading', { level: 1, name: 'Overview' })).toBeVisible()
  server = serve()
  running.push(server)
  await expect(page.getByRole('heading', { level: 1, name: 'Receipts' })).toBeVisible({ timeout: 45_000 })
  await expect(page.getByText('No receipts yet')).toBeVisible({ timeout: 30_000 })
  await expect(page.getByText('The control plane does not answer')).toHaveCount(0)
  await context.close()
})
