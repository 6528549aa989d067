// The whole way of a new operator: the command on the page, the real agent, a simulated runtime, the first receipt.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, dialogOf, rowOf } from './admin'
import { expect, expectAccessible, expectNoSidewaysScroll, rowIds, settled, test } from './fixtures'
import { BASE_URL, PLACE } from './place'
import { type Running, agent, freePort, simulator, start, tellAgent } from './programs'

const running: Running[] = []
test.afterAll(async () => {
  for (const program of running.toReversed()) await program.stop()
})

test('from the command on the page to the first receipt, live', async ({ page, context }) => {
  test.setTimeout(120_000)
  await page.goto('/run')
  await page.getByLabel('Linux').check()
  await page.getByLabel('Region').selectOption('eu-west')
  await page.getByLabel('Node name').fill('studio-01')
  await page.getByRole('button', { name: 'Make the command' }).click()
  const command = page.getByLabel('Command', { exact: true })
  await expect(command).toContainText('dgon-agent enroll')
  await expect(page.getByText('Token valid for')).toBeVisible()
  const step = (id: string) => page.locator(`[data-step="${id}"]`)
  await expect(step('registered')).toHaveAttribute('data-state', 'waiting')
  await page.getByText('agent.yaml for this machine').click()
  await expect(page.getByLabel('agent.yaml')).toContainText('control_plane')
  const secret = /DGON_ENROL_TOKEN=(\S+)/.exec(await command.innerText())?.[1] ?? ''
  expect(await page.getByLabel('agent.yaml').innerText()).not.toContain(secret)

  const [runtimePort, proxyPort] = [await freePort(), await freePort()]
  running.push(start('runtime', simulator(), ['runtime', '--kind', 'ollama', '--port', String(runtimePort), '--model', 'tiny-e2e']))
  await running.at(-1)?.says(/simulated ollama at/i)
  const state = join(PLACE, 'agent')
  mkdirSync(state, { recursive: true })
  writeFileSync(
    join(state, 'agent.yaml'),
    `control_plane:\n  api: ${BASE_URL}\nruntimes:\n  detect: false\n  endpoints:\n    - http://127.0.0.1:${runtimePort}\nproxy:\n  listen: 127.0.0.1:${proxyPort}\n`,
  )
  // The command as the page shows it, with a state folder of its own.
  const text = (await command.innerText()).replaceAll('dgon-agent', agent())
  running.push(start('agent', 'sh', ['-c', text.replace('&& ', '&& exec ')], { DGON_STATE_DIR: state, DGON_CONFIG: join(state, 'agent.yaml') }))
  for (const id of ['registered', 'connected', 'heartbeat', 'runtime', 'probe']) {
    await expect(step(id), id).toHaveAttribute('data-state', 'ok', { timeout: 45_000 })
  }

  const list = await context.newPage()
  await list.goto('/receipts?node_id=studio-01')
  await settled(list)
  const known = new Set(await rowIds(list))
  const answer = await fetch(`http://127.0.0.1:${proxyPort}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny-e2e', messages: [{ role: 'user', content: 'Hello' }] }),
  })
  expect(answer.status).toBe(200)
  await answer.text()
  await expect.poll(async () => (await rowIds(list)).some((id) => !known.has(id)), { intervals: [50] }).toBe(true)
  await list.close()

  await expect(step('receipt')).toHaveAttribute('data-state', 'ok')
  await expect(page.getByText('Your node works.')).toBeVisible()
  await step('receipt').getByRole('link').click()
  await page.getByRole('button', { name: 'Verify in this browser' }).click()
  await expect(page.getByText('Verified in this browser')).toBeVisible()
  await expect(page.locator('[data-step="chain"]')).toHaveAttribute('data-state', 'pass')

  await page.goto('/run')
  await expect(page.getByText('The token was shown once')).toBeVisible()
  await expect(step('receipt')).toHaveAttribute('data-state', 'ok')
})

test('a token in the wrong hands is in the list, is revoked there, and enrols nothing', async ({ page }) => {
  await page.goto('/run')
  await page.evaluate(() => sessionStorage.clear())
  await page.reload()
  await page.getByLabel('Linux').check()
  await page.getByLabel('Region').selectOption('eu-west')
  await page.getByLabel('Node name').fill('mislaid-01')
  await page.getByRole('button', { name: 'Make the command' }).click()
  const secret = /DGON_ENROL_TOKEN=(\S+)/.exec(await page.getByLabel('Command', { exact: true }).innerText())?.[1] ?? ''
  const row = rowOf(page, 'mislaid-01')
  for (const text of ['eu-west', 'You', '1 of 1']) await expect(row).toContainText(text)
  for (const width of [320, 390, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
    await expectAccessible(page)
  }

  const revoke = row.getByRole('button', { name: 'Revoke mislaid-01' })
  await revoke.press('Enter')
  const dialog = dialogOf(page, 'Revoke mislaid-01')
  await expect(dialog).toContainText('Nodes that it enrolled stay')
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await expect(revoke).toBeFocused()
  await revoke.press('Enter')
  await dialog.getByRole('button', { name: 'Revoke the token' }).press('Enter')
  await expect(page.getByText('Revoked: mislaid-01')).toBeVisible()
  await expect(row).toHaveCount(0)
  // Somebody at the keyboard is still in the list, and a command that does nothing is not shown any more.
  await expect(page.locator('[aria-labelledby="tokens-title"] :focus')).toHaveCount(1)
  await expect(page.getByRole('button', { name: 'Make the command' })).toBeVisible()

  const { items } = await ask<{ items: { label: string; revoked_at: string | null }[] }>(page, 'GET', '/enrolment-tokens')
  expect(items.find((one) => one.label === 'mislaid-01')?.revoked_at).toEqual(expect.any(String))
  const state = join(PLACE, 'mislaid-01')
  mkdirSync(state, { recursive: true })
  writeFileSync(join(state, 'agent.yaml'), `control_plane:\n  api: ${BASE_URL}\n`)
  const enrol = tellAgent(['enroll', '--api', BASE_URL, '--node-id', 'mislaid-01'], { DGON_STATE_DIR: state, DGON_CONFIG: join(state, 'agent.yaml'), DGON_ENROL_TOKEN: secret })
  await expect(enrol).rejects.toThrow(/expired or revoked/)
})

test('tokens that cannot be read are said so, and where none works nothing is listed', async ({ page, watch }) => {
  watch.allow(/500/)
  const list = page.getByRole('region', { name: 'Tokens that work', exact: true })
  const error = { type: 'internal', message: 'The store did not answer.', request_id: 'r_1', details: {} }
  await page.route('**/api/v1/enrolment-tokens*', (route) => route.fulfill({ status: 500, json: { error } }))
  await page.goto('/run')
  await expect(list.getByRole('alert')).toContainText('The store did not answer.')
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.route('**/api/v1/enrolment-tokens*', (route) => route.fulfill({ json: { items: [], next_cursor: null, total: 0 } }))
  await list.getByRole('button', { name: 'Retry' }).click()
  await expect(list).toContainText('No token works now')
  await expectAccessible(page)
})

test('where the clipboard is closed, the text is shown selected', async ({ page }) => {
  await page.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }))
  await page.goto('/run')
  await page.evaluate(() => sessionStorage.clear())
  await page.reload()
  await page.getByRole('button', { name: 'Make the command' }).click()
  await page.getByRole('button', { name: 'Copy command' }).click()
  const dialog = page.getByRole('dialog', { name: 'Copy the command' })
  await expect(dialog).toContainText('requires a secure context')
  const area = dialog.getByRole('textbox')
  const [from, to, length] = await area.evaluate((element: HTMLTextAreaElement) => [element.selectionStart, element.selectionEnd, element.value.length])
  expect([from, to]).toEqual([0, length])
})
