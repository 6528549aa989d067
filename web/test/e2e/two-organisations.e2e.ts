// For whom a sign-in acts: on every page of its browser the same, and nothing of another.
import type { Page } from '@playwright/test'
import { arrive, ask, dialogOf, makeOrg, nav, userOf } from './admin'
import { expect, expectAccessible, expectNoSidewaysScroll, rowIds, settled, test } from './fixtures'
import { BASE_URL } from './place'
import { type Running, enrolmentToken, signInLink, simulator, start, userLink } from './programs'

const running: Running[] = []
test.afterAll(async () => {
  for (const program of running.toReversed()) await program.stop()
})

test('who is in two organisations changes between them, and nothing of the first is left on any page', async ({ page, browser }) => {
  const [west, south] = [await makeOrg(page, 'West hall'), await makeOrg(page, 'South hall')]
  await userLink('vi@example.org', BASE_URL, {}, 'viewer')
  const user = await userOf(page, 'vi@example.org')
  await ask(page, 'PUT', `/users/${user}/memberships/${west}`, { roles: ['operator'] })
  await ask(page, 'PUT', `/users/${user}/memberships/${south}`, { roles: ['operator', 'viewer'] })
  await ask(page, 'DELETE', `/users/${user}/memberships/main`)
  const fleet = start('fleet-west', simulator(), ['fleet', '--api', BASE_URL, '--nodes', '2', '--rate', '2', '--duration', '3600', '--prefix', 'west'], {
    DGON_ENROL_TOKEN: await enrolmentToken(2, 'eu-west', {}, west),
  })
  running.push(fleet)

  const theirs = await arrive(browser, await signInLink('vi@example.org'))
  const acting = (which: Page) => which.getByRole('button', { name: /^You act for/ })
  await expect(acting(theirs)).toHaveText(/West hall/)
  await nav(theirs).getByText('Nodes').press('Enter')
  await expect(theirs).toHaveURL('/nodes?owner=self')
  await expect.poll(() => rowIds(theirs)).toEqual(['west-00000', 'west-00001'])
  await theirs.locator('[data-row-link="west-00001"]').press('Enter')
  await expect(dialogOf(theirs, 'west-00001')).toBeVisible()
  await theirs.keyboard.press('Escape')
  const other = await theirs.context().newPage()
  await other.goto('/nodes/west-00000')
  await expect(other.getByRole('heading', { level: 1, name: 'west-00000' })).toBeVisible()
  await settled(other)
  await expect(other.getByText('Live', { exact: true })).toBeVisible()

  // The answer of the second organisation is held back: whatever stood there meanwhile would be the first one's.
  let release: () => void = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  await theirs.route(/api\/v1\/nodes\?/, async (route) => {
    await held
    await route.continue()
  })
  await acting(theirs).press('Enter')
  const choice = dialogOf(theirs, 'Act for an organisation')
  await expect(choice.getByRole('button', { name: 'Act for it' })).toHaveAccessibleDescription('You act for this one now')
  await expectAccessible(theirs)
  await choice.getByRole('radio', { name: 'West hall' }).focus()
  await theirs.keyboard.press('ArrowDown')
  await expect(choice.getByRole('radio', { name: 'South hall' })).toBeChecked()
  await theirs.keyboard.press('Enter')
  await expect(theirs.getByText('You act for South hall now')).toBeVisible()
  await expect(choice).toHaveCount(0)
  await expect(theirs.getByRole('heading', { level: 1, name: 'Nodes' })).toBeVisible()
  expect(await theirs.locator('main').innerText()).not.toContain('west-')
  release()
  await expect(theirs.getByText('Your organisation has no nodes yet')).toBeVisible()
  await expect(theirs).toHaveURL('/nodes?owner=self')
  await expect(acting(theirs)).toHaveText(/South hall/)
  await expect(acting(theirs)).toBeFocused()
  await theirs.unroute(/api\/v1\/nodes\?/)

  // The other page of this browser follows by itself: to the second organisation the node is somebody else's.
  await expect(acting(other)).toHaveText(/South hall/)
  await expect(other.getByText("Shown to the node's operator").first()).toBeAttached()
  await expect(other.getByRole('region', { name: 'Taken care of by' })).toHaveCount(0)
  expect(await other.locator('main').innerText()).not.toContain('West hall')
  await expect(other.getByText('Live', { exact: true })).toBeVisible()

  for (const width of [360, 768, 1280]) {
    await theirs.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(theirs)
    await expect(acting(theirs)).toBeInViewport({ ratio: 1 })
  }
  await ask(page, 'DELETE', `/users/${user}/memberships/${south}`)
  for (const which of [theirs, other]) {
    await expect(which.getByText('You act for no organisation: you are not')).toBeVisible()
    await expect(nav(which)).toHaveText(['Overview', 'Nodes'])
  }
  await expectAccessible(theirs)
  await theirs.getByRole('button', { name: 'Choose another one' }).click()
  await choice.getByRole('radio', { name: 'West hall' }).check()
  await choice.getByRole('button', { name: 'Act for it' }).click()
  await expect.poll(() => rowIds(theirs)).toEqual(['west-00000', 'west-00001'])
  await expect(theirs).toHaveURL('/nodes?owner=self')
  await expect(other.getByText('You act for no organisation: you are not')).toHaveCount(0)
  // There is no choice any more, and no button for it.
  await expect(acting(theirs)).toHaveCount(0)
  await expect(theirs.locator('.org-alone')).toHaveText('You act for West hall')
  await theirs.goto('/account')
  const you = theirs.getByRole('region', { name: 'You', exact: true })
  await expect(you.getByRole('listitem').filter({ hasText: 'West hall' })).toHaveText(/Operator.*You act for it/)
  await expectAccessible(theirs)
  await ask(page, 'DELETE', `/users/${user}/memberships/${west}`)
  await expect(theirs.getByText('You are in no open organisation')).toBeVisible()
  await expect(theirs.locator('.org-alone')).toHaveCount(0)
  await expect(you).toContainText('None. An admin can add you to one.')
  await theirs.goto('/nodes?owner=self')
  await expect(theirs.getByText('so no nodes are yours')).toBeVisible()
  await expect(theirs.getByRole('button', { name: 'Choose another one' })).toHaveCount(0)
  await theirs.context().close()
})
