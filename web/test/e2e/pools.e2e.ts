// A private pool: made by an admin, filled from its page and by a token, and seen by those whom it admits and nobody else.
import { arrive, ask, dialogOf, makeOrg, nav, rowOf } from './admin'
import { NOBODY, expect, expectAccessible, expectNoSidewaysScroll, rowIds, settled, test } from './fixtures'
import { BASE_URL } from './place'
import { type Running, enrolmentToken, simulator, start } from './programs'

const running: Running[] = []
test.afterAll(async () => {
  for (const program of running.toReversed()) await program.stop()
})
// Other tests look at a console without pools.
test.afterEach(async ({ page }) => {
  await ask(page, 'PUT', '/flags/enable_private_pools', { enabled: false })
})

const fleet = (name: string, nodes: number, token: string) =>
  start(`fleet-${name}`, simulator(), ['fleet', '--api', BASE_URL, '--nodes', String(nodes), '--rate', '1', '--duration', '3600', '--prefix', name], { DGON_ENROL_TOKEN: token })

test('a pool hides a node from everybody but those whom it admits', async ({ page, browser, watch }) => {
  watch.allow(/40[0349]/)
  await page.goto('/pools')
  await expect(page.getByText('Private pools are off in this network')).toBeVisible()
  await expect(nav(page).filter({ hasText: 'Private pools' })).toHaveCount(0)
  const turnOn = page.getByRole('button', { name: 'Turn private pools on' })
  await turnOn.press('Enter')
  const turning = dialogOf(page, 'Turn private pools on')
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await expect(turnOn).toBeFocused()
  await turnOn.press('Enter')
  await turning.getByRole('button', { name: 'Turn them on' }).press('Enter')
  // The page goes on by itself, and the keyboard with it.
  await expect(page.getByRole('button', { name: 'Make a pool' })).toBeVisible()
  await expect(page.getByRole('heading', { name: 'Private pools', level: 1 })).toBeFocused()
  await expect(nav(page).filter({ hasText: 'Private pools' })).toHaveCount(1)
  const hall = await makeOrg(page, 'Pool hall')
  const guests = await makeOrg(page, 'Pool guests')
  const { path: ownLink } = await ask<{ path: string }>(page, 'POST', '/users', { email: 'pia@example.org', org_id: hall, roles: ['operator'] })
  const { path: guestLink } = await ask<{ path: string }>(page, 'POST', '/users', { email: 'gus@example.org', org_id: guests, roles: ['operator'] })
  running.push(fleet('dark', 2, await enrolmentToken(2, 'eu-west', {}, hall)))
  const listed = async () => (await ask<{ items: { node_id: string }[] }>(page, 'GET', '/nodes?q=dark')).items.map((one) => one.node_id)
  await expect.poll(async () => (await listed()).length).toBe(2)
  const [first = '', second = ''] = await listed()

  // The admin makes the pool.
  await page.goto('/pools')
  await settled(page)
  await page.getByRole('button', { name: 'Make a pool' }).press('Enter')
  const form = dialogOf(page, 'Make a private pool')
  await expect(form.getByRole('button', { name: 'Make it' })).toHaveAccessibleDescription('Choose an organisation first')
  await form.getByRole('combobox', { name: 'Organisation' }).selectOption('Pool hall')
  await form.getByLabel('Name').fill('Night')
  await form.getByLabel('Labels').fill('tier=gold, tier=silver')
  await expect(form.getByLabel('Labels')).toHaveAccessibleDescription(/key of its own/)
  await form.getByLabel('Labels').fill('tier=gold')
  await form.getByRole('button', { name: 'Make it' }).press('Enter')
  await expect(form.getByLabel('Name')).toHaveAccessibleDescription(/small letters, digits and hyphens, with none/)
  await expectAccessible(page)
  await form.getByLabel('Name').fill('night')
  await form.getByRole('button', { name: 'Make it' }).press('Enter')
  await expect(page).toHaveURL(/\/pools\/pool_/)
  await expect(page.getByRole('heading', { name: 'night', level: 1 })).toBeVisible()
  const pool = new URL(page.url()).pathname
  await expect(page.getByText('tier=gold')).toBeVisible()

  // A node goes in from the page of the pool.
  const nodes = page.getByRole('region', { name: 'Nodes' })
  await expect(nodes).toContainText('No node is in this pool.')
  await nodes.getByRole('button', { name: 'Put a node in' }).press('Enter')
  const putting = dialogOf(page, 'Put a node into night')
  await putting.getByLabel('Node id').fill('nowhere')
  await putting.getByRole('button', { name: 'Put it in' }).press('Enter')
  await expect(putting.getByLabel('Node id')).toHaveAccessibleDescription(/there is no node with this id/)
  await putting.getByLabel('Node id').fill(first)
  await putting.getByRole('button', { name: 'Put it in' }).press('Enter')
  await expect(nodes.getByRole('link', { name: first })).toBeVisible()
  await expect(nodes.getByRole('button', { name: 'Put a node in' })).toBeFocused()
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
    await expectAccessible(page)
  }

  // Nobody else finds it: no stranger, and no operator of another organisation.
  const stranger = await browser.newContext({ storageState: NOBODY })
  const told = async (nodeId: string) => (await stranger.request.get(`${BASE_URL}/api/v1/nodes/${nodeId}`)).status()
  expect(await told(first)).toBe(404)
  expect(await told(second)).toBe(200)
  const seen = (await (await stranger.request.get(`${BASE_URL}/api/v1/nodes?q=dark`)).json()) as { items: { node_id: string }[]; total: number }
  expect([seen.items.map((one) => one.node_id), seen.total]).toEqual([[second], 1])
  const guest = await arrive(browser, `${BASE_URL}${guestLink}`)
  await guest.goto('/pools')
  await expect(guest.getByText('Your organisation has none, and none admits it.')).toBeVisible()
  await guest.goto(`/nodes/${first}`)
  await expect(guest.getByRole('alert')).toContainText('there is no node with this id')

  // Listed, it is told that it is there.
  await page.getByRole('button', { name: 'Change' }).click()
  const change = dialogOf(page, 'Change night')
  await expect(change.getByRole('button', { name: 'Change' })).toHaveAccessibleDescription('It is so already')
  await change.getByRole('combobox', { name: 'To everybody else' }).selectOption({ index: 1 })
  await change.getByRole('button', { name: 'Change' }).click()
  await expect(page.getByText('is told that it exists')).toBeVisible()
  await guest.reload()
  await expect(guest.getByRole('alert')).toContainText('its contents are restricted to the members of its pool')
  await expect(guest.getByRole('alert')).toContainText('and of those that its pool admits')
  expect(await told(first)).toBe(403)

  // Admitted, they use it, and nothing of it is theirs.
  const admitted = page.getByRole('region', { name: 'Organisations that it admits' })
  await admitted.getByRole('button', { name: 'Admit an organisation' }).click()
  const admit = dialogOf(page, 'Admit an organisation to night')
  await admit.getByRole('combobox', { name: 'Organisation' }).selectOption('Pool guests')
  await admit.getByRole('button', { name: 'Admit', exact: true }).click()
  await expect(admitted).toContainText('admitted by ana@example.org')
  await guest.goto('/pools')
  await settled(guest)
  await expect(rowOf(guest, 'night')).toContainText('Pool hall')
  await rowOf(guest, 'night').getByRole('link', { name: /in night/ }).click()
  await expect(guest).toHaveURL(/\/nodes\?pool=pool_/)
  await settled(guest)
  expect(await rowIds(guest)).toEqual([first])
  await expect(guest.getByRole('button', { name: 'Private pool: night' })).toBeVisible()
  await guest.goto(`/nodes/${first}`)
  await settled(guest)
  await expect(guest.getByRole('link', { name: 'night' })).toBeVisible()
  await expect(guest.getByText('Pool hall')).toHaveCount(0)
  await guest.goto(pool)
  await settled(guest)
  await expect(guest.getByRole('region', { name: 'Organisations that it admits' })).toContainText('admitted by an admin')
  await expect(guest.getByRole('region').getByRole('button', { name: /Take|Put|Admit|Change|Close/ })).toHaveCount(0)

  // Its own operator makes a token for it: the machine is in it from its first moment.
  const own = await arrive(browser, `${BASE_URL}${ownLink}`)
  await own.goto('/run')
  await own.getByRole('combobox', { name: 'Private pool' }).selectOption('night')
  await own.getByRole('button', { name: 'Make the command' }).click()
  const command = (await own.getByLabel('Command', { exact: true }).textContent()) ?? ''
  const token = /dgon_enrol_[\w-]+/.exec(command)?.[0] ?? ''
  running.push(fleet('darker', 1, token))
  await own.goto(pool)
  await expect(async () => {
    await own.reload()
    await expect(own.getByRole('region', { name: 'Nodes' }).getByRole('listitem')).toHaveCount(2, { timeout: 2000 })
  }).toPass()
  await own.context().close()

  // Taken off, nothing of it is there for the guests: also where the page was open, and without a reload.
  await expect(guest.getByRole('link', { name: first })).toBeVisible()
  await admitted.getByRole('button', { name: 'Take Pool guests off' }).click()
  await dialogOf(page, 'Take Pool guests off').getByRole('button', { name: 'Take off' }).click()
  await expect(admitted).toContainText('It admits nobody')
  await expect(guest.getByRole('alert')).toContainText('its contents are restricted')
  await expect(guest.getByRole('heading', { level: 1 })).toHaveText('Private pool')
  expect(await guest.locator('main').innerText()).not.toMatch(/Pool hall|dark-0|night/)

  // From the page of the node it goes out, with a reason, and is everybody's again.
  await page.goto(`/nodes/${first}`)
  await settled(page)
  await page.getByRole('button', { name: 'Out of night' }).click()
  const out = dialogOf(page, `Take ${first} out of night`)
  await expect(out.getByRole('button', { name: 'Take it out' })).toHaveAccessibleDescription('Write a reason first')
  await out.getByLabel('Reason').fill('open to all')
  await out.getByRole('button', { name: 'Take it out' }).click()
  await expect(page.getByRole('button', { name: 'Into a pool' })).toBeVisible()
  expect(await told(first)).toBe(200)
  await guest.goto(`/nodes/${first}`)
  await settled(guest)
  await expect(guest.locator('.node-view')).toBeVisible()
  await page.getByRole('button', { name: 'Into a pool' }).click()
  const into = dialogOf(page, `Put ${first} into a pool`)
  await into.getByRole('combobox', { name: 'Pool' }).selectOption('night')
  await into.getByRole('button', { name: 'Put it in' }).click()
  await expect(page.getByRole('button', { name: 'Out of night' })).toBeVisible()
  // The guests' page of it is open, and has nothing of it any more.
  await expect(guest.getByRole('alert')).toContainText('its contents are restricted')
  await expect(guest.locator('.node-view')).toHaveCount(0)
  await expect(guest.getByText("Couldn't refresh")).toHaveCount(0)
  await guest.context().close()
  // It is not closed over its nodes.
  await page.goto(pool)
  await page.getByRole('button', { name: 'Close' }).click()
  const close = dialogOf(page, 'Close night')
  await close.getByLabel('Reason').fill('over')
  await close.getByRole('button', { name: 'Close for good' }).click()
  await expect(close.getByRole('alert')).toContainText('take them out first')
  // Off, it is hidden as it was, and a page of it that is open says so.
  await close.getByRole('button', { name: 'Keep as it is' }).click()
  await ask(page, 'PUT', '/flags/enable_private_pools', { enabled: false })
  expect(await told(first)).toBe(403)
  await expect(page.getByText('Private pools are off in this network')).toBeVisible()
  await expect(nav(page).filter({ hasText: 'Private pools' })).toHaveCount(0)
    // Only an admin is offered to change that.
    await page.goto('/pools')
    await expect(page.getByRole('button', { name: 'Turn private pools on' })).toBeVisible()
  await stranger.close()
})
