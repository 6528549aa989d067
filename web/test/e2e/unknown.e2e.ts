// What a real agent knows and what it does not, as a person sees it: one of its runtimes tells no counts, and its owner
// lets go of the GPUs.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page as ListPage, NodeRow, ReceiptAggregate, ReceiptDetail, ReceiptRow } from '~/api/types'
import { expect, expectAccessible, expectNoSidewaysScroll, rowIds, settled, test } from './fixtures'
import { BASE_URL, PLACE } from './place'
import { type Running, agent, enrolmentToken, fakeNvml, freePort, simulator, start, tellAgent } from './programs'

const NODE = 'quiet-01'
const MODEL = 'tiny-quiet'
/** Served by a runtime that tells all it counts, and what its cache helped. */
const TOLD_MODEL = 'tiny-told'
const CARDS = [
  { name: 'NVIDIA H200', uuid: 'GPU-1', pci: '00000000:01:00.0', memory_total: 150_754_820_096, memory_used: 1_073_741_824, util_pct: 37, temp_c: 54, power_mw: 312_500 },
  { name: 'NVIDIA GB10', uuid: 'GPU-2', pci: '0000000F:01:00.0', util_pct: 5, temp_c: 41, power_mw: 9000, unsupported: ['memory'] },
]

const state = join(PLACE, NODE)
const machine = join(state, 'machine.json')
const running: Running[] = []
let env: Record<string, string> = {}
let proxy = ''

const ask = (path: string, body: object) =>
  fetch(`${proxy}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: MODEL, ...body }) }).then(async (answer) => {
    await answer.text()
    return answer.status
  })

test.beforeAll(async () => {
  test.setTimeout(120_000)
  const [runtimePort, toldPort, proxyPort] = [await freePort(), await freePort(), await freePort()]
  proxy = `http://127.0.0.1:${proxyPort}`
  running.push(start('quiet-runtime', simulator(), ['runtime', '--kind', 'vllm', '--port', String(runtimePort), '--model', MODEL, '--no-usage', '--answer-tokens', '9']))
  await running.at(-1)?.says(/simulated vllm at/i)
  running.push(start('told-runtime', simulator(), ['runtime', '--kind', 'llama.cpp', '--port', String(toldPort), '--model', TOLD_MODEL, '--answer-tokens', '9']))
  await running.at(-1)?.says(/simulated llama.cpp at/i)
  mkdirSync(state, { recursive: true })
  writeFileSync(machine, JSON.stringify({ driver: '580.95.05', cuda: 13_000, cards: CARDS }))
  writeFileSync(
    join(state, 'agent.yaml'),
    `node:\n  id: ${NODE}\ncontrol_plane:\n  api: ${BASE_URL}\nruntimes:\n  detect: false\n  endpoints:\n    - http://127.0.0.1:${runtimePort}\n    - http://127.0.0.1:${toldPort}\nproxy:\n  listen: 127.0.0.1:${proxyPort}\n`,
  )
  env = { DGON_STATE_DIR: state, DGON_CONFIG: join(state, 'agent.yaml'), DGON_NVML_LIB: fakeNvml(), DGON_FAKE_NVML: machine }
  await tellAgent(['enroll', '--api', BASE_URL], { ...env, DGON_ENROL_TOKEN: await enrolmentToken(1, 'eu-west') })
  running.push(start('quiet-agent', agent(), ['run'], env))
  // It serves once it has found its runtime. Work that is asked for before that is refused, with a receipt.
  const models = () => fetch(`${proxy}/v1/models`).then((answer) => answer.text())
  for (const model of [MODEL, TOLD_MODEL]) await expect.poll(() => models().catch(() => ''), { timeout: 60_000 }).toContain(model)
  expect(await ask('/tokenize', { prompt: 'Hello' })).toBe(200)
})

test.afterAll(async () => {
  for (const program of running.toReversed()) await program.stop()
})

test('a receipt whose tokens nobody counted shows no number, in the list and on its page', async ({ page }) => {
  await page.goto(`/receipts?node_id=${NODE}`)
  await settled(page)
  expect(await ask('/v1/embeddings', { input: 'Tell me of receipts.' })).toBe(200)
  expect(await ask('/v1/chat/completions', { messages: [{ role: 'user', content: 'Hello' }], stream: true })).toBe(200)
  const stored = async () => {
    const list = (await (await page.request.get(`/api/v1/receipts?node_id=${NODE}&source=local`)).json()) as ListPage<ReceiptRow>
    return new Map(list.items.map((row) => [row.tokens_source, row.request_id]))
  }
  await expect.poll(async () => [...(await stored()).keys()].toSorted()).toEqual(['chunks', 'unknown', 'unpaid'])
  const ids = await stored()
  // The list hears of them by itself.
  const cells = (source: string) => {
    const row = page.locator('tbody tr', { has: page.locator(`[data-row-link="${ids.get(source)}"]`) })
    return [row.locator('.col-in'), row.locator('.col-out')] as const
  }
  const [unknownIn, unknownOut] = cells('unknown')
  await expect(unknownIn).toHaveText(/^—\s*Not counted$/)
  await expect(unknownOut).toHaveText(/^—\s*Not counted$/)
  const [chunksIn, chunksOut] = cells('chunks')
  await expect(chunksIn).toHaveText(/^—\s*Not counted$/)
  await expect(chunksOut).toHaveText(/^≈ about \d+$/)
  for (const cell of cells('unpaid')) await expect(cell).toHaveText('unpaid')
  const totals = page.getByRole('region', { name: 'Totals' })
  // No prompt was counted: their sum of 0 is not known either.
  await expect(totals.locator('dt', { hasText: 'Tokens in' }).locator('xpath=following-sibling::dd[1]')).toHaveText(/^—/)
  await expect(totals).toContainText(/The token sums are too low: \d+ receipts are not fully counted\./)
  await expectAccessible(page)

  await page.goto(`/receipts/${ids.get('unknown')}`)
  const fact = (name: string) => page.locator('dt').getByText(name, { exact: true }).locator('xpath=following-sibling::dd[1]')
  await expect(fact('Tokens in')).toHaveText(/^—\s*Not counted$/)
  await expect(fact('Tokens out')).toHaveText(/^—\s*Not counted$/)
  await expect(fact('Token counts')).toHaveText('Not counted: something was served, and the runtime did not say how much. It is not paid.')
  await expectAccessible(page)
  await page.goto('/')
  await expect(page.locator('.kpi', { hasText: 'Tokens, 24 h' })).toContainText(/receipts are not fully counted/)
  for (const width of [1280, 320]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
  }
})

test('GPUs that their owner lets go of show no old number, without a reload', async ({ page }) => {
  await page.goto(`/nodes/${NODE}?tab=hardware`)
  const card = (name: string) => page.getByRole('tabpanel').locator('section', { has: page.getByRole('heading', { name }) })
  const fact = (name: string, of: string) => card(of).locator('dt').getByText(name, { exact: true }).locator('xpath=following-sibling::dd[1]')
  await expect(fact('Use', 'NVIDIA H200')).toHaveText('37%', { timeout: 30_000 })
  await expect(fact('Memory', 'NVIDIA H200')).toHaveText(/ of 140.4 GiB$/)
  await expect(fact('Memory', 'NVIDIA GB10')).toHaveText(/, unified$/)

  await tellAgent(['gpus', 'release'], env)
  await expect(page.getByText('GPU reading is released by the owner. The cards are shown as they were known before.')).toBeVisible()
  for (const name of ['Use', 'Temperature', 'Power']) {
    await expect(fact(name, 'NVIDIA H200')).toHaveText(/^—\s*GPU reading is released by the owner$/)
  }
  await expect(fact('Memory', 'NVIDIA H200')).toHaveText('140.4 GiB')
  await expectAccessible(page)
  await page.reload()
  await expect(fact('Use', 'NVIDIA H200')).toHaveText(/^—/)
  await page.getByRole('tab', { name: 'Overview' }).click()
  await expect(page.getByRole('tabpanel')).toContainText('GPU reading is released by the owner')

  await tellAgent(['gpus', 'resume'], env)
  await page.getByRole('tab', { name: 'Hardware' }).click()
  await expect(fact('Use', 'NVIDIA H200')).toHaveText('37%', { timeout: 30_000 })
})

test('what an agent tells is on the page of its receipt and in the totals, and found by runtime and model', async ({ page }) => {
  // The second time the prompt is in the runtime's cache.
  for (const at of [1, 2]) {
    const body = { model: TOLD_MODEL, messages: [{ role: 'user', content: 'Tell me of receipts, and of those who sign them.' }], stream: true }
    expect(await ask('/v1/chat/completions', body), `request ${at}`).toBe(200)
  }
  const query = `model_id=${TOLD_MODEL}&source=local`
  const told = async () => ((await (await page.request.get(`/api/v1/receipts?${query}`)).json()) as ListPage<ReceiptRow>).items
  await expect.poll(async () => (await told()).length).toBe(2)
  const rows = await told()
  await page.goto(`/receipts?${query}`)
  await settled(page)
  expect(await rowIds(page)).toEqual(rows.map((row) => row.request_id))
  const fact = (name: string) => page.locator('dt').getByText(name, { exact: true }).locator('xpath=following-sibling::dd[1]')
  const sums = (await (await page.request.get(`/api/v1/receipts/aggregate?${query}`)).json()) as ReceiptAggregate
  expect(sums.cache_hit_share).toBe(0.5)
  await expect(fact('Cache hits')).toHaveText('50.0%')

  const { receipt } = (await (await page.request.get(`/api/v1/receipts/${rows[0]?.request_id}`)).json()) as ReceiptDetail
  await page.goto(`/receipts/${receipt.request_id}`)
  await settled(page)
  expect(receipt.tokens_cached).toBeGreaterThan(0)
  for (const [name, text] of [
    ['Runtime', 'llama.cpp'],
    ['Tokens cached', String(receipt.tokens_cached)],
    ['p95 of the gaps', `${receipt.p95_ms} ms`],
    ['Cache hit', 'Yes'],
    ['Hedged', 'No'],
    ['In chain', `#${receipt.seq}`],
  ] as const) {
    await expect(fact(name), name).toHaveText(text)
  }
  for (const [name, at] of [
    ['Started', receipt.ts_start],
    ['Ended', receipt.ts_end],
  ] as const) {
    await expect(fact(name).locator('time'), name).toHaveAttribute('datetime', new Date(at).toISOString())
  }
  await page.getByRole('button', { name: 'Verify in this browser' }).click()
  await expect(page.locator('[data-step="parse"]')).toContainText(`receipt version ${receipt.version}`)

  await page.goto('/nodes')
  await settled(page)
  await page.getByLabel('Runtime', { exact: true }).selectOption('llama.cpp')
  await expect(page).toHaveURL(/\?runtime=llama\.cpp$/)
  await expect.poll(() => rowIds(page)).toEqual([NODE])
  // The model has no control, only the address.
  await page.goto(`/nodes?model=${TOLD_MODEL}`)
  await settled(page)
  expect(await rowIds(page)).toEqual([NODE])
  const { total } = (await (await page.request.get('/api/v1/nodes?limit=1')).json()) as ListPage<NodeRow>
  expect(total, 'one node alone would prove nothing').toBeGreaterThan(1)
})
