// Who takes care of which node: said by an admin, found by those who do, and told to nobody else.
import { arrive, ask, dialogOf, makeOrg, nav, rowOf } from './admin'
import { expect, expectAccessible, expectNoSidewaysScroll, rowIds, settled, test } from './fixtures'
import { BASE_URL } from './place'
import { type Running, enrolmentToken, simulator, start } from './programs'

const running: Running[] = []
test.afterAll(async () => {
  for (const program of running.toReversed()) await program.stop()
})

const CARA = 'cara@example.org'

test('an admin says who takes care of a node, who finds it among their own and may do no more than before', async ({ page, browser, watch }) => {
  watch.allow(/409/)
  const org = await makeOrg(page, 'Care hall')
  const { path } = await ask<{ path: string }>(page, 'POST', '/users', { email: CARA, org_id: org, roles: ['operator'] })
  await ask(page, 'POST', '/users', { email: 'vic@example.org', org_id: org, roles: ['viewer'] })
  running.push(
    start('fleet-care', simulator(), ['fleet', '--api', BASE_URL, '--nodes', '2', '--rate', '1', '--duration', '3600', '--prefix', 'care'], { DGON_ENROL_TOKEN: await enrolmentToken(2, 'eu-west', {}, org) }),
  )
  const listed = async () => (await ask<{ items: { node_id: string }[] }>(page, 'GET', '/nodes?q=care')).items.map((one) => one.node_id)
  await expect.poll(async () => (await listed()).length).toBe(2)
  const [first = '', second = ''] = await listed()

  await page.goto(`/nodes/${first}`)
  await settled(page)
  const people = page.getByRole('region', { name: 'Taken care of by' })
  await expect(people).toContainText('Nobody is assigned to this node.')
  await people.getByRole('button', { name: 'Assign somebody' }).press('Enter')
  const form = dialogOf(page, `Assign somebody to ${first}`)
  await expect(form.getByRole('button', { name: 'Assign' })).toHaveAccessibleDescription('Choose a person first')
  await expect(form).toContainText('gives no rights')
  const person = form.getByRole('combobox', { name: 'Person' })
  // A viewer cannot be chosen.
  await expect(person.locator('option')).toHaveText(['Choose one', CARA])
  await person.selectOption(CARA)
  await expectAccessible(page)
  // They lose the role under the open dialog: the answer stands at the field.
  const user = (await ask<{ items: { user_id: string }[] }>(page, 'GET', `/users?q=${encodeURIComponent(CARA)}`)).items[0]?.user_id ?? ''
  await ask(page, 'PUT', `/users/${user}/memberships/${org}`, { roles: ['viewer'] })
  await form.getByRole('button', { name: 'Assign' }).press('Enter')
  await expect(person).toHaveAccessibleDescription(/give the person that role there first/)
  await ask(page, 'PUT', `/users/${user}/memberships/${org}`, { roles: ['operator'] })
  await form.getByLabel('Reason').fill('the rota')
  await form.getByRole('button', { name: 'Assign' }).press('Enter')
  await expect(people.getByRole('link', { name: CARA })).toBeVisible()
  await expect(people).toContainText('assigned by ana@example.org')
  await expect(people.getByRole('button', { name: 'Assign somebody' })).toBeFocused()
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
    await expectAccessible(page)
  }

  const theirs = await arrive(browser, `${BASE_URL}${path}`)
  await expect(nav(theirs)).toHaveText(['Overview', 'Nodes', 'Receipts', 'Run a node'])
  // It is found among the nodes of all, of which those of others have nobody to tell of.
  await theirs.goto('/nodes')
  await settled(theirs)
  await theirs.getByRole('combobox', { name: 'Taken care of by' }).selectOption('I take care')
  await expect(theirs).toHaveURL('/nodes?assignee=me')
  await settled(theirs)
  await expect.poll(() => rowIds(theirs)).toEqual([first])
  await theirs.getByRole('combobox', { name: 'Taken care of by' }).selectOption('Nobody takes care')
  await expect(theirs).toHaveURL('/nodes?assignee=nobody')
  await settled(theirs)
  await expect.poll(() => rowIds(theirs)).toEqual([second])
  await theirs.goto(`/nodes/${first}`)
  await settled(theirs)
  const told = theirs.getByRole('region', { name: 'Taken care of by' })
  await expect(told).toContainText(CARA)
  await expect(told).toContainText('assigned by an admin')
  await expect(told.getByRole('button')).toHaveCount(0)
  await theirs.goto('/assignments')
  await expect(theirs.getByText('Your account may not see the assignments')).toBeVisible()
  await theirs.context().close()

  await page.setViewportSize({ width: 1280, height: 900 })
  await people.getByRole('button', { name: `Take ${CARA} off` }).click()
  const off = dialogOf(page, `Take ${CARA} off`)
  await expect(off).toContainText('What they may do does not change')
  await off.getByRole('button', { name: 'Take off' }).click()
  await expect(people).toContainText('Nobody is assigned to this node.')
  await expect(people.getByRole('button', { name: 'Assign somebody' })).toBeFocused()
})

test('the map of nodes and people is narrowed by person, and somebody is assigned from it', async ({ page, watch }) => {
  watch.allow(/500/)
  await page.goto('/assignments?q=care&role=king')
  await settled(page)
  await expect(page.getByText('Ignored filter role=king')).toBeVisible()
  const [first = '', second = ''] = await rowIds(page)
  await page.getByRole('button', { name: `Assign somebody to ${second}` }).press('Enter')
  const form = dialogOf(page, `Assign somebody to ${second}`)
  await form.getByRole('combobox', { name: 'Person' }).selectOption(CARA)
  await form.getByRole('button', { name: 'Assign' }).click()
  await expect(rowOf(page, second)).toContainText(CARA)
  await expect(page.getByRole('button', { name: `Assign somebody to ${second}` })).toBeFocused()
  await expectAccessible(page)
  for (const width of [320, 768]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
  }
  await page.setViewportSize({ width: 1280, height: 900 })
  await rowOf(page, second).getByRole('link', { name: CARA }).click()
  await expect(page).toHaveURL(/assignee=u_/)
  await settled(page)
  await expect.poll(() => rowIds(page)).toEqual([second])
  await expect(page.getByRole('combobox', { name: 'Taken care of by' }).locator('option:checked')).toHaveText(CARA)
  await page.goto('/assignments?q=care&assignee=nobody')
  await settled(page)
  await expect.poll(() => rowIds(page)).toEqual([first])
  await page.goto('/assignments?assignee=me')
  await expect(page.getByText('No nodes match Taken care of by: me.')).toBeVisible()

  const refuse = { status: 500, contentType: 'application/json', body: JSON.stringify({ error: { type: 'internal', message: 'The store did not answer.', request_id: 'req-77b1', details: {} } }) }
  await page.route(/api\/v1\/assignments/, (route) => route.fulfill(refuse))
  await page.goto('/assignments')
  await expect(page.getByRole('alert')).toContainText('req-77b1')
  await page.unroute(/api\/v1\/assignments/)
  await page.getByRole('button', { name: 'Retry' }).click()
  await settled(page)
  await expect(page.locator('tbody tr').first()).toBeVisible()
})
