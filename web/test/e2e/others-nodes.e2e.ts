// What an operator sees of other organisations' nodes: what strangers see, and where their own are.
import { arrive, ask, dialogOf, makeOrg, nav } from './admin'
import { expect, expectAccessible, expectNoSidewaysScroll, rowIds, settled, test } from './fixtures'
import { BASE_URL, FLEET } from './place'
import { type Running, enrolmentToken, simulator, start } from './programs'

const running: Running[] = []
test.afterAll(async () => {
  for (const program of running.toReversed()) await program.stop()
})

test('an operator begins with their own nodes, and of others sees what strangers see', async ({ page, browser }) => {
  const org = await makeOrg(page, 'Olive hall')
  const { path } = await ask<{ path: string }>(page, 'POST', '/users', { email: 'oli@example.org', org_id: org, roles: ['operator'] })
  running.push(
    start('fleet-olive', simulator(), ['fleet', '--api', BASE_URL, '--nodes', '2', '--rate', '1', '--duration', '3600', '--prefix', 'olive'], { DGON_ENROL_TOKEN: await enrolmentToken(2, 'eu-west', {}, org) }),
  )
  const theirs = await arrive(browser, `${BASE_URL}${path}`)
  const mine = theirs.getByRole('button', { name: 'Mine' })
  const own = ['olive-00000', 'olive-00001']
  await nav(theirs).getByText('Nodes').press('Enter')
  await expect(theirs).toHaveURL('/nodes?owner=self')
  await expect(mine).toHaveAttribute('aria-pressed', 'true')
  await expect.poll(() => rowIds(theirs)).toEqual(own)
  await expectAccessible(theirs)

  // Everybody's, from the keyboard, and in the address.
  await mine.press('Enter')
  await expect(theirs).toHaveURL('/nodes')
  await settled(theirs)
  await expect(mine).toHaveAttribute('aria-pressed', 'false')
  await expect(mine).toBeFocused()
  await theirs.goto('/nodes?sort=-id')
  await settled(theirs)
  const ids = await rowIds(theirs)
  expect(ids).toEqual(expect.arrayContaining([...own, `${FLEET}-00017`]))
  const agentOf = (id: string) => theirs.locator('tbody tr', { has: theirs.locator(`[data-row-link="${id}"]`) }).locator('.col-version')
  await expect(agentOf(`${FLEET}-00017`)).toHaveText(/Shown to the node's operator/)
  await expect(agentOf('olive-00000')).toHaveText(/^sim-|^\d/)
  // The figures of the network count private nodes, too: they are no count of this list.
  await expect(theirs.getByRole('group', { name: 'Status' }).getByRole('button', { name: /Active/ })).toHaveText('Active')
  for (const width of [320, 768, 1280]) {
    await theirs.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(theirs)
    await expectAccessible(theirs)
  }

  // One of them as a drawer and as a page.
  await theirs.locator(`[data-row-link="${FLEET}-00017"]`).press('Enter')
  const drawer = dialogOf(theirs, `${FLEET}-00017`)
  await expect(drawer.getByText("Shown to the node's operator").first()).toBeAttached()
  await theirs.keyboard.press('Escape')
  for (const tab of ['overview', 'receipts', 'hardware', 'history']) {
    await theirs.goto(`/nodes/${FLEET}-00017?tab=${tab}`)
    await settled(theirs)
    await expectAccessible(theirs)
    expect(await theirs.locator('main').innerText()).not.toMatch(/Taken care of by|Quarantine…|Pass on…|ana@example\.org/)
  }
  await expect(theirs.getByText('Who or what made a change')).toBeVisible()
  await theirs.goto(`/nodes/${FLEET}-00017?tab=receipts`)
  await expect(theirs.getByText('Receipts are not shown here')).toBeVisible()

  // The socket tells nothing of others': what changes is read, and is there without a reload.
  await theirs.goto('/nodes?sort=-id')
  await settled(theirs)
  const status = theirs.locator('tbody tr', { has: theirs.locator(`[data-row-link="${FLEET}-00017"]`) }).locator('.col-status')
  await expect(status).toHaveText('Active')
  const act = (action: string) => ask(page, 'POST', `/nodes/${FLEET}-00017/actions`, { action, reason: 'looked at by others' })
  await act('quarantine')
  await expect(status).toHaveText('Quarantine')
  await act('clear')
  await expect(status).not.toHaveText('Quarantine')
  await theirs.keyboard.press('g')
  await theirs.keyboard.press('n')
  await expect(theirs).toHaveURL('/nodes?owner=self')
  await theirs.context().close()
})
