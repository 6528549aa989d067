// What the console says of time that passes: a network of its own, whose clock jumps. `libfaketime` lies to the programs
// about the wall clock; the monotonic clock stays, and so does the browser's.
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { NOBODY, expect, settled, test } from './fixtures'
import { PLACE } from './place'
import { type Running, controlPlane, enrolmentToken, freePort, simulator, start, userLink } from './programs'

const NODES = 3
const QUARTER_S = 15 * 60
const HOUR_S = 4 * QUARTER_S
/** Longer than a node may be silent before it is late, shorter than until it is offline. */
const SILENCE_S = 60
const LIBRARY = ['/usr/lib/x86_64-linux-gnu/faketime', '/usr/lib/aarch64-linux-gnu/faketime', '/usr/lib64/faketime', '/usr/lib/faketime']
  .map((folder) => join(folder, 'libfaketimeMT.so.1'))
  .find((file) => existsSync(file))

const running: Running[] = []
test.afterAll(async () => {
  for (const program of running.toReversed()) await program.stop()
})

test('the last hour against the one before, and nodes that fall silent', async ({ browser }) => {
  test.skip(process.platform !== 'linux', 'there is no libfaketime for this system')
  if (!LIBRARY) throw new Error('install libfaketime: apt-get install libfaketime')
  test.setTimeout(120_000)
  const place = join(PLACE, 'clock')
  rmSync(place, { recursive: true, force: true })
  mkdirSync(place)
  const file = join(place, 'time')
  const setAhead = (seconds: number) => {
    // Whole at once: the programs read it each time that they ask for the time.
    writeFileSync(`${file}.new`, `+${seconds}\n`)
    renameSync(`${file}.new`, file)
  }
  setAhead(0)
  // DONT_FAKE_MONOTONIC had no prefix before version 0.9.10.
  const env = { DGON_DATA_DIR: place, LD_PRELOAD: LIBRARY, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', DONT_FAKE_MONOTONIC: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' }
  const url = `http://127.0.0.1:${await freePort()}`
  running.push(start('clock', controlPlane(), ['serve', '--bind', new URL(url).host], env))
  await running.at(-1)?.says(/http\S+\/setup#token=\S+/)
  const token = await enrolmentToken(NODES, 'eu-west', env)
  const keep = ['--keep', join(place, 'agents.json')]
  const fleet = (name: string, rate: number, seconds: number) => {
    const args = ['fleet', '--api', url, '--nodes', String(NODES), '--rate', String(rate), '--duration', String(seconds), ...keep, '--json']
    running.push(start(`clock-${name}`, simulator(), args, { ...env, DGON_ENROL_TOKEN: token }))
    return running.at(-1)
  }
  const acknowledged = async (name: string, rate: number) => Number((await fleet(name, rate, 1.5)?.says(/"acked": (\d+)/))?.[1])

  const before = await acknowledged('before', 20)
  setAhead(HOUR_S)
  const last = await acknowledged('last', 60)
  // The quarter that is open does not count.
  setAhead(HOUR_S + QUARTER_S)
  const present = fleet('present', 0, 3600)

  const context = await browser.newContext({ storageState: NOBODY, baseURL: url })
  const page = await context.newPage()
  await page.goto(await userLink('ben@example.org', url, env))
  await expect(page.getByRole('heading', { name: 'Account' })).toBeVisible()
  await page.goto('/')
  await settled(page)
  const change = Math.round((100 * (last - before)) / before)
  expect(change).toBeGreaterThan(50)
  await expect(page.locator('.kpi', { hasText: 'Requests, 24 h' }).locator('.delta')).toHaveText(`+${change}% last hour`)

  await page.goto('/nodes?status=active')
  await expect.poll(() => page.locator('tbody tr').count()).toBe(NODES)
  await expect(page.locator('.late')).toHaveCount(0)
  const id = (await page.locator('tbody [data-row-link]').first().getAttribute('data-row-link')) ?? ''
  const connected = page.locator('dt').getByText('Connected', { exact: true }).locator('xpath=following-sibling::dd[1]')
  await page.goto(`/nodes/${id}`)
  await expect(connected).toHaveText('Yes')
  await present?.stop()
  await expect(connected).toHaveText('No')
  setAhead(HOUR_S + QUARTER_S + SILENCE_S)
  await page.goto('/nodes')
  await settled(page)
  await expect(page.locator('tbody tr .late')).toHaveText(Array<string>(NODES).fill('late'))
  await context.close()
})
