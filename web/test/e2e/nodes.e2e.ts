import { expect, rowIds, settled, test } from './fixtures'
import { FLEET, FLEET_NODES } from './place'

test.beforeAll(async ({ browser }) => {
  // The fleet enrols while the first tests run.
  const page = await browser.newPage()
  await expect
    .poll(async () => ((await (await page.request.get('/api/v1/summary')).json()) as { nodes: Record<string, number> }).nodes.active, { timeout: 60_000 })
    .toBeGreaterThanOrEqual(FLEET_NODES)
  await page.close()
})

test('filters live in the address: one step each, back undoes one, a reload keeps them', async ({ page }) => {
  await page.goto('/nodes')
  await settled(page)
  const all = await rowIds(page)
  expect(all).toHaveLength(25)
  await page.getByRole('group', { name: 'Status' }).getByRole('button', { name: /Active/ }).click()
  await expect(page).toHaveURL(/\?status=active$/)
  const regions = page.getByLabel('Region', { exact: true })
  const region = await regions.locator('option').nth(1).getAttribute('value')
  await regions.selectOption(region)
  await expect(page).toHaveURL(new RegExp(`status=active&region=${region}`))
  await expect(page.getByRole('button', { name: `Region: ${region}` })).toBeVisible()
  await settled(page)
  const filtered = await rowIds(page)
  expect(filtered.length).toBeGreaterThan(0)
  await page.reload()
  await settled(page)
  expect(await rowIds(page)).toEqual(filtered)
  await page.goBack()
  await expect(page).toHaveURL(/\?status=active$/)
  await page.goBack()
  await expect(page).toHaveURL(/\/nodes$/)
})

test('a filter that means nothing is named and ignored', async ({ page }) => {
  await page.goto('/nodes?status=banana')
  await settled(page)
  await expect(page.getByRole('note')).toHaveText('Ignored filter status=banana')
  expect((await rowIds(page)).length).toBeGreaterThan(0)
})

test('an empty result names its filters and offers the way out', async ({ page }) => {
  await page.goto('/nodes?q=no-such-machine&status=quarantine')
  await expect(page.getByText('No nodes match Search: no-such-machine + Status: quarantine.')).toBeVisible()
  await page.getByRole('button', { name: 'Clear filters' }).last().click()
  await expect(page).toHaveURL(/\/nodes$/)
  await expect(page.locator('tbody tr').first()).toBeVisible()
})

test('answers of an older filter are dropped', async ({ page }) => {
  await page.goto('/nodes')
  await settled(page)
  await page.route('**/api/v1/nodes?*status=active*', async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 1500))
    await route.continue().catch(() => {})
  })
  const status = page.getByRole('group', { name: 'Status' })
  await status.getByRole('button', { name: /Active/ }).click()
  await status.getByRole('button', { name: /Active/ }).click()
  await status.getByRole('button', { name: /Offline/ }).click()
  await expect(page.getByText('No nodes match Status: offline.')).toBeVisible()
  await page.waitForResponse(/status=active/, { timeout: 3000 }).catch(() => null)
  await expect(page.getByText('No nodes match Status: offline.')).toBeVisible()
})

test('pages go by cursor, the last has no next, sort tells its direction', async ({ page }) => {
  await page.goto('/nodes?sort=id')
  await settled(page)
  const header = page.getByRole('columnheader', { name: 'Node' })
  await expect(header).toHaveAttribute('aria-sort', 'ascending')
  const first = await rowIds(page)
  await expect(page.getByRole('button', { name: 'Previous' })).toHaveAttribute('aria-disabled', 'true')
  await page.getByRole('button', { name: 'Next' }).click()
  await expect(page).toHaveURL(/cursor=/)
  await expect.poll(async () => (await rowIds(page)).length).toBeLessThan(25)
  const second = await rowIds(page)
  expect(second.filter((id) => first.includes(id))).toEqual([])
  await expect(page.getByRole('button', { name: 'Next' })).toHaveAttribute('aria-disabled', 'true')
  await page.getByRole('button', { name: 'Previous' }).click()
  await expect.poll(() => rowIds(page)).toEqual(first)
  await header.getByRole('button').click()
  await expect(header).toHaveAttribute('aria-sort', 'descending')
})

test('the header row stays in sight', async ({ page }) => {
  await page.goto('/nodes')
  await settled(page)
  await page.mouse.wheel(0, 2000)
  await expect(page.getByRole('columnheader', { name: 'Status' })).toBeInViewport()
})

test('the drawer opens and closes by keyboard and gives the focus back', async ({ page }) => {
  await page.goto('/nodes')
  await settled(page)
  await page.keyboard.press('j')
  await page.keyboard.press('j')
  const link = page.locator('tbody [data-row-link]').nth(1)
  await expect(link).toBeFocused()
  const id = (await link.getAttribute('data-row-link')) ?? ''
  await page.keyboard.press('Enter')
  const drawer = page.getByRole('dialog', { name: id })
  await expect(drawer).toBeVisible()
  await expect(page).toHaveURL(new RegExp(`/nodes/${id}`))
  expect(await page.evaluate(() => document.activeElement?.closest('dialog') !== null)).toBe(true)
  await page.keyboard.press(']')
  await expect(page.getByRole('dialog', { name: id })).toHaveCount(0)
  await page.keyboard.press('[')
  await expect(drawer).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(page.getByRole('dialog')).toHaveCount(0)
  await expect(page).toHaveURL(/\/nodes$/)
  await expect(link).toBeFocused()
})

test('an address of a node opens the page with its tab', async ({ page }) => {
  const id = `${FLEET}-00002`
  await page.goto(`/nodes/${id}?tab=receipts`)
  await expect(page.getByRole('heading', { level: 1, name: id })).toBeVisible()
  await expect(page.getByRole('tab', { name: 'Receipts' })).toHaveAttribute('aria-selected', 'true')
  await page.reload()
  await expect(page.getByRole('tab', { name: 'Receipts' })).toHaveAttribute('aria-selected', 'true')
  await page.getByRole('tab', { name: 'Overview' }).click()
  await expect(page).toHaveURL(new RegExp(`/nodes/${id}$`))
  await page.keyboard.press('ArrowRight')
  await expect(page.getByRole('tab', { name: 'Receipts' })).toBeFocused()
})

test('quarantine needs a reason, shows everywhere without a reload, and no row moves', async ({ page, context }) => {
  const id = `${FLEET}-00004`
  const watcher = await context.newPage()
  await watcher.goto('/nodes?sort=id')
  await settled(watcher)
  await expect(watcher.getByText('Live', { exact: true })).toBeVisible()
  const order = await rowIds(watcher)
  const row = watcher.locator('tbody tr', { has: watcher.locator(`[data-row-link="${id}"]`) })
  await expect(row).toContainText('Active')

  await page.goto(`/nodes/${id}`)
  await page.getByRole('button', { name: 'Quarantine…' }).click()
  const dialog = page.getByRole('dialog', { name: `Quarantine ${id}` })
  await expect(dialog.getByRole('button', { name: 'Quarantine' })).toHaveAttribute('aria-disabled', 'true')
  await dialog.getByLabel('Reason').fill('looked odd to Ana')
  await dialog.getByRole('button', { name: 'Quarantine' }).click()
  await expect(page.locator('.node-status')).toContainText('Quarantine')
  await expect(row).toContainText('Quarantine')
  expect(await rowIds(watcher)).toEqual(order)
  await watcher.close()

  await page.getByRole('tab', { name: 'History' }).click()
  await expect(page.getByRole('tabpanel')).toContainText('looked odd to Ana')
  await page.getByRole('button', { name: 'Release from quarantine…' }).click()
  await page.getByLabel('Reason').fill('it was a test')
  await page.getByRole('dialog').getByRole('button', { name: 'Release from quarantine' }).click()
  await expect(page.locator('.node-status')).not.toContainText('Quarantine')
})

test('a node that reports no sensor shows a dash, not 0', async ({ page }) => {
  await page.route(/\/api\/v1\/nodes\/[^/?]+$/, async (route) => {
    const response = await route.fetch()
    const body = (await response.json()) as Record<string, unknown>
    const load = { util_pct: 0, vram_used_mib: null, temp_c: null, power_w: null }
    const gpu = { index: 0, name: 'Apple M3 Max', uuid: null, vram_mib: null, driver: null, cuda: null, backend: 'metal', load }
    await route.fulfill({ response, json: { ...body, os: 'macos', gpu_details: [gpu] } })
  })
  await page.goto(`/nodes/${FLEET}-00001?tab=hardware`)
  const fact = (name: string) => page.locator('dt', { hasText: name }).locator('xpath=following-sibling::dd[1]').last()
  await expect(fact('Temperature')).toHaveText(/—\s*Not reported by this Mac/)
  await expect(fact('Use')).toHaveText('0%')
})
