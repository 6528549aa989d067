// The whole way of a new operator: the command on the page, the real agent, a simulated runtime, the first receipt.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, rowIds, settled, test } from './fixtures'
import { BASE_URL, PLACE } from './place'
import { type Running, agent, freePort, simulator, start } from './programs'

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
