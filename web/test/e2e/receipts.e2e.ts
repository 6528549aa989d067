import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Page } from '@playwright/test'
import { expect, rowIds, settled, test } from './fixtures'

test('a new receipt comes on top without a reload', async ({ page }) => {
  await page.goto('/receipts')
  await settled(page)
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  const [top] = await rowIds(page)
  await expect.poll(async () => (await rowIds(page))[0], { intervals: [100] }).not.toBe(top)
})

test('under a hand no row moves: new ones wait behind a bar', async ({ page }) => {
  await page.goto('/receipts')
  await settled(page)
  await page.locator('tbody tr').nth(3).hover()
  const before = await rowIds(page)
  const bar = page.getByRole('button', { name: /new receipts?, show/ })
  await expect(bar).toBeVisible()
  expect(await rowIds(page)).toEqual(before)
  await bar.click()
  await expect.poll(async () => (await rowIds(page))[0]).not.toBe(before[0])
})

test('search finds a receipt by its id and the totals follow the filter', async ({ page }) => {
  await page.goto('/receipts')
  await settled(page)
  const id = (await rowIds(page))[5] ?? ''
  await page.getByRole('searchbox').fill(id)
  await expect(page).toHaveURL(new RegExp(`q=${id}`))
  await expect.poll(() => rowIds(page)).toEqual([id])
  await expect(page.locator('.strip dd').first()).toHaveText('1')
  await page.getByRole('searchbox').fill('r_00000000000000000000000000')
  await expect(page.getByText('No receipts match Search: r_00000000000000000000000000.')).toBeVisible()
  await expect(page.getByText('It may be newer than what is indexed')).toBeVisible()
})

test('verify ticks each step over the raw bytes, and the page shows and hands out the same bytes', async ({ page }) => {
  await page.goto('/receipts')
  await settled(page)
  const id = (await rowIds(page))[8] ?? ''
  await page.goto(`/receipts/${id}`)
  await page.getByRole('button', { name: 'Verify in this browser' }).click()
  await expect(page.getByText('Verified in this browser')).toBeVisible()
  for (const step of ['parse', 'canonical', 'hash', 'signature', 'key']) {
    await expect(page.locator(`[data-step="${step}"]`)).toHaveAttribute('data-state', 'pass')
  }
  const raw = await (await page.request.get(`/api/v1/receipts/${id}/raw`)).body()
  await page.getByRole('tab', { name: 'Raw bytes' }).click()
  expect(await page.locator('pre.json-raw').textContent()).toBe(raw.toString())
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()])
  expect(file.suggestedFilename()).toBe(`${id}.json`)
  const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  expect(digest(readFileSync(await file.path()))).toBe(digest(raw))
})

test('one flipped byte fails the hash and the signature, by name', async ({ page }) => {
  await page.goto('/receipts')
  await settled(page)
  const id = (await rowIds(page))[2] ?? ''
  await page.route(`**/api/v1/receipts/${id}/raw?*`, async (route) => {
    const response = await route.fetch()
    const text = (await response.body()).toString()
    const flipped = text.replace(/"tokens_output":(\d)/, (_, digit: string) => `"tokens_output":${digit === '9' ? '8' : Number(digit) + 1}`)
    await route.fulfill({ response, body: flipped })
  })
  await page.goto(`/receipts/${id}`)
  await page.getByRole('button', { name: 'Verify in this browser' }).click()
  await expect(page.getByText('Invalid. Failed: SHA-256 of the raw bytes; Ed25519 signature by the node key')).toBeVisible()
  await expect(page.locator('[data-step="parse"]')).toHaveAttribute('data-state', 'pass')
  await expect(page.locator('[data-step="hash"]')).toHaveAttribute('data-state', 'fail')
  await expect(page.locator('[data-step="signature"]')).toHaveAttribute('data-state', 'fail')
})

test('a receipt that is not there says so', async ({ page, watch }) => {
  watch.allow(/404/)
  await page.goto('/receipts/r_00000000000000000000000000')
  await expect(page.getByText('No receipt with this id')).toBeVisible()
})

test('the socket goes: the data stays, the state is told, and it comes back', async ({ page, context, watch }) => {
  watch.allow(/WebSocket|ERR_INTERNET_DISCONNECTED|Failed to load/)
  await page.goto('/receipts')
  await settled(page)
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  await context.setOffline(true)
  await page.evaluate(() => dispatchEvent(new Event('offline')))
  const rows = (await rowIds(page)).length
  await expect(page.getByText(/Reconnecting|Polling/)).toBeVisible({ timeout: 45_000 })
  expect((await rowIds(page)).length).toBe(rows)
  await context.setOffline(false)
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
})

/** A page whose subscription waits until it is let go, and that is told of no receipt by the socket. */
async function heldBack(page: Page): Promise<{ letGo: () => void }> {
  let letGo = () => {}
  const isLetGo = new Promise<void>((resolve) => {
    letGo = resolve
  })
  await page.routeWebSocket(/\/live$/, (socket) => {
    const server = socket.connectToServer()
    socket.onMessage((message) => void isLetGo.then(() => server.send(message)))
    // The number stays, so that nothing but the receipt is missing.
    server.onMessage((message) => socket.send(String(message).replace(/^\{"type":"receipt"/, '{"type":"held back"')))
  })
  return { letGo: () => letGo() }
}

async function newestAfter(page: Page, shown: string[]): Promise<string> {
  let newest = ''
  const ask = async () => {
    const list = (await (await page.request.get('/api/v1/receipts?limit=1')).json()) as { items: { request_id: string }[] }
    newest = list.items[0]?.request_id ?? ''
    return shown.includes(newest)
  }
  await expect.poll(ask).toBe(false)
  return newest
}

test('receipts that come before the socket tells of any are not missing', async ({ page }) => {
  const { letGo } = await heldBack(page)
  await page.goto('/receipts')
  await settled(page)
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  const missed = await newestAfter(page, await rowIds(page))
  letGo()
  await expect.poll(() => rowIds(page)).toContain(missed)
  // As the server has them: none left out, none twice, in its order.
  const rows = await rowIds(page)
  const list = (await (await page.request.get('/api/v1/receipts?limit=200')).json()) as { items: { request_id: string }[] }
  const all = list.items.map((row) => row.request_id)
  expect(all.slice(all.indexOf(rows[0] ?? '')).slice(0, rows.length)).toEqual(rows)
})

test('under a hand they wait behind the bar, too', async ({ page }) => {
  const { letGo } = await heldBack(page)
  await page.goto('/receipts')
  await settled(page)
  await page.locator('tbody tr').nth(3).hover()
  const before = await rowIds(page)
  const missed = await newestAfter(page, before)
  letGo()
  const bar = page.getByRole('button', { name: /new receipts?, show/ })
  await expect(bar).toBeVisible()
  expect(await rowIds(page)).toEqual(before)
  await bar.click()
  await expect.poll(() => rowIds(page)).toContain(missed)
})
