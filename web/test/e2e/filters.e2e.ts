// Every control and column of the two lists, against what the API says of a fleet of agents.
import type { Page } from '@playwright/test'
import type { NodeRow, Page as ListPage, ReceiptAggregate, ReceiptRow } from '../../src/api/types'
import { expect, rowIds, settled, test } from './fixtures'
import { FLEET, FLEETS, FLEET_NODES } from './place'

const api = async <T>(page: Page, path: string) => (await (await page.request.get(`/api/v1${path}`)).json()) as T

/** The text of a column in the row of an id. */
const cell = (page: Page, id: string, column: string) => page.locator('tbody tr', { has: page.locator(`[data-row-link="${id}"]`) }).locator(`.col-${column}`)

test.beforeAll(async ({ browser }) => {
  const page = await browser.newPage()
  await expect
    .poll(async () => (await api<{ nodes: Record<string, number> }>(page, '/summary')).nodes.active, { timeout: 60_000 })
    .toBeGreaterThanOrEqual(FLEET_NODES)
  await page.close()
})

test('each filter of the receipts asks for what it says and shows what comes', async ({ page }) => {
  await page.goto('/receipts')
  await settled(page)
  // One probe per node, and nothing else asks for work in their name.
  await page.getByLabel('Source', { exact: true }).selectOption('probe')
  await expect(page).toHaveURL(/\?source=probe$/)
  await settled(page)
  const probes = await api<ListPage<ReceiptRow>>(page, '/receipts?source=probe')
  expect(probes.items.length).toBeGreaterThanOrEqual(FLEET_NODES)
  await expect.poll(() => rowIds(page)).toEqual(probes.items.map((row) => row.request_id))
  const sums = await api<ReceiptAggregate>(page, '/receipts/aggregate?source=probe')
  const figure = (name: string) => page.locator('.strip div', { has: page.locator('dt', { hasText: name }) }).locator('dd')
  await expect(figure('Receipts')).toHaveText(String(sums.count))
  await expect(figure('Failures')).toHaveText(String(sums.failures))
  await expect(figure('p50 first token')).toHaveText(`${sums.p50_ms} ms`)
  await expect(figure('p95 first token')).toHaveText(`${sums.p95_ms} ms`)
  for (const [label, value, address] of [
    ['Status', 'error', 'status=error'],
    ['Cache', 'true', 'cache_hit=true'],
  ] as const) {
    await page.goto('/receipts')
    await settled(page)
    await page.getByLabel(label, { exact: true }).selectOption(value)
    await expect(page).toHaveURL(new RegExp(`\\?${address}$`))
    await settled(page)
    // Agents of this fleet neither fail nor tell of a cache: a filter that was not passed on would show rows.
    expect((await api<ListPage<ReceiptRow>>(page, `/receipts?${address}`)).items).toEqual([])
    await expect(page.getByText('No receipts match')).toBeVisible()
  }
  // These have no control, only the address.
  const [probe] = probes.items
  for (const [address, wanted] of [
    [`request_id=${probe?.request_id}`, [probe]],
    ['source=probe&region=us-east', probes.items.filter((row) => row.region === 'us-east')],
  ] as const) {
    await page.goto(`/receipts?${address}`)
    await settled(page)
    await expect.poll(() => rowIds(page), address).toEqual(wanted.map((row) => row?.request_id))
  }
  await page.goto('/receipts?hedged=true')
  await expect(page.getByText('No receipts match Hedged: yes.')).toBeVisible()
  await page.goto('/receipts?to=2020-01-01')
  await expect(page.getByText('No receipts match To: 2020-01-01.')).toBeVisible()
  await page.goto('/receipts')
  await settled(page)
  await page.getByLabel('Time', { exact: true }).selectOption('1')
  await expect(page).toHaveURL(/\?from=20/)
  await expect(page.locator('tbody tr').first()).toBeVisible()
})

test('the search of the receipts finds a node, a model and a hash', async ({ page }) => {
  await page.goto('/receipts?source=probe')
  await settled(page)
  const probes = await api<ListPage<ReceiptRow>>(page, '/receipts?source=probe')
  const wanted = probes.items.find(({ node_id: id }) => id === `${FLEET}-00003`)
  if (!wanted) throw new Error('no probe of that node')
  const { entry_sha256: hash } = await api<{ entry_sha256: string }>(page, `/receipts/${wanted.request_id}`)
  const box = page.getByRole('searchbox')
  const plain = hash.replace(/^sha256:/, '')
  for (const text of [wanted.node_id, `sha256:${plain}`, plain.slice(0, 12)]) {
    await box.fill(text)
    await expect.poll(() => rowIds(page), text).toEqual([wanted.request_id])
  }
  await expect(page.getByText('Reads as the beginning of a hash')).toBeVisible()
  await box.fill(wanted.model_id)
  await expect.poll(() => rowIds(page)).toEqual(probes.items.map((row) => row.request_id))
  await box.fill('no-such-thing')
  await expect(page.getByText('No receipts match')).toBeVisible()
})

test('a row of the receipts says what the API says', async ({ page }) => {
  await page.setViewportSize({ width: 1700, height: 900 })
  await page.goto('/receipts?source=probe')
  await settled(page)
  const { items } = await api<ListPage<ReceiptRow>>(page, '/receipts?source=probe')
  for (const row of items.slice(0, 5)) {
    for (const [column, text] of [
      ['node', row.node_id],
      ['model', row.model_id],
      ['in', String(row.tokens_input)],
      ['out', String(row.tokens_output)],
      ['ttft', `${row.ttft_ms} ms`],
      ['latency', `${row.latency_ms?.toLocaleString('en-US')} ms`],
      ['region', row.region ?? ''],
      ['source', 'probe'],
    ] as const) {
      await expect(cell(page, row.request_id, column), column).toHaveText(text)
    }
    await expect(cell(page, row.request_id, 'status')).toHaveText('Ok')
    await expect(cell(page, row.request_id, 'received').locator('time')).toHaveAttribute('datetime', row.received_at)
  }
})

test('each filter of the nodes asks for what it says, and the counts are those of the list', async ({ page }) => {
  await page.goto('/nodes')
  await settled(page)
  const active = page.getByRole('group', { name: 'Status' }).getByRole('button', { name: /Active/ })
  const { total } = await api<ListPage<NodeRow>>(page, '/nodes?status=active&limit=1')
  await expect(active).toHaveText(`Active${total}`)
  for (const { region, nodes, prefix } of FLEETS) {
    await page.goto('/nodes')
    await settled(page)
    await page.getByLabel('Region', { exact: true }).selectOption(region)
    await expect(page).toHaveURL(new RegExp(`\\?region=${region}$`))
    await settled(page)
    // Those of the network are not those of the list.
    await expect(active).toHaveText('Active')
    const ids = await rowIds(page)
    expect(ids.filter((id) => id.startsWith(prefix))).toHaveLength(nodes)
    for (const id of ids) await expect(cell(page, id, 'region')).toHaveText(region)
  }
  await page.goto('/nodes')
  await page.getByRole('searchbox').fill('FAR-0000')
  await expect.poll(async () => (await rowIds(page)).length).toBe(10)
  // Whoever looks here belongs to the organisation that enrolled all of them.
  await page.goto('/nodes?owner=self')
  await settled(page)
  await expect(page.getByRole('button', { name: /Owner: your organisation/ })).toBeVisible()
  await expect(page.getByRole('button', { name: 'Mine' })).toHaveAttribute('aria-pressed', 'true')
  await expect(active).toHaveText('Active')
  const own = await api<ListPage<NodeRow>>(page, '/nodes?owner=self&limit=25')
  await expect.poll(() => rowIds(page)).toEqual(own.items.map((row) => row.node_id))
})

test('each order of the nodes asks for what it says and shows what comes', async ({ page }) => {
  for (const [title, sort] of [
    ['p95 first token', 'p95'],
    ['Last heartbeat', 'last_heartbeat'],
  ] as const) {
    await page.goto('/nodes')
    await settled(page)
    const asked = page.waitForResponse((response) => new URL(response.url()).searchParams.get('sort') === sort)
    await page.getByRole('columnheader', { name: title }).getByRole('button').click()
    await expect(page).toHaveURL(new RegExp(`\\?sort=${sort}$`))
    const { items } = (await (await asked).json()) as ListPage<NodeRow>
    await settled(page)
    const ids = items.map((row) => row.node_id)
    await expect.poll(() => rowIds(page), sort).toEqual(ids)
    expect(ids, `${sort} would prove nothing`).not.toEqual(ids.toSorted())
  }
})

test('a row of the nodes says what the API says', async ({ page }) => {
  await page.setViewportSize({ width: 1700, height: 900 })
  await page.goto('/nodes?q=far')
  await settled(page)
  const { items } = await api<ListPage<NodeRow>>(page, '/nodes?q=far')
  for (const row of items.slice(0, 3)) {
    for (const [column, text] of [
      ['status', 'Active'],
      ['region', row.region],
      ['models', row.models.join('')],
      ['runtime', row.runtimes.map(({ kind }) => kind).join('')],
      ['gpu', '—'],
      ['version', row.agent_version ?? '—'],
    ] as const) {
      await expect(cell(page, row.node_id, column), column).toContainText(text)
    }
    await expect(cell(page, row.node_id, 'status').locator('[title]')).toHaveAttribute('title', row.status_reason ?? '')
    // These move with each receipt and each beat; both sides are asked until they agree.
    await expect
      .poll(async () => {
        const now = await api<NodeRow>(page, `/nodes/${row.node_id}`)
        const [p95, requests] = [await cell(page, row.node_id, 'p95').innerText(), await cell(page, row.node_id, 'requests').innerText()]
        return p95 === `${now.p95_ms} ms` && requests === String(now.requests_24h)
      })
      .toBe(true)
    await expect(cell(page, row.node_id, 'heartbeat').locator('time')).toHaveAttribute('datetime', /^20/)
  }
  const [row] = items
  if (!row) throw new Error('no node of that fleet')
  await page.goto(`/nodes/${row.node_id}`)
  await settled(page)
  await expect(page.locator('.node-status')).toContainText('Probe passed.')
  await expect(page.locator('.node-status time')).toHaveAttribute('datetime', row.status_since)
})
