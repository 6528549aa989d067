// People and organisations: invited, given roles, shut out; and each page shows what its person may see at that moment.
import type { Page } from '@playwright/test'
import { arrive, ask, dialogOf, makeOrg, nav, rowOf, userOf } from './admin'
import { expect, expectAccessible, expectNoSidewaysScroll, rowIds, settled, test } from './fixtures'
import { ADMIN, BASE_URL } from './place'
import { type Running, enrolmentToken, simulator, start, userLink } from './programs'

const running: Running[] = []
test.afterAll(async () => {
  for (const program of running.toReversed()) await program.stop()
})

const EMAIL = 'olu@example.org'
const IDA = 'ida@example.org'

async function fitsEverywhere(page: Page): Promise<void> {
  for (const width of [320, 360, 768, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
    if (width === 360 || width === 1280) await expectAccessible(page)
  }
}

test('an admin makes an organisation and invites somebody to it, who comes in by the link', async ({ page, browser, watch }) => {
  watch.allow(/409/)
  await page.goto('/organisations')
  await settled(page)
  await page.getByRole('button', { name: 'Make an organisation' }).click()
  await dialogOf(page, 'Make an organisation').getByLabel('Name').fill('main')
  await page.keyboard.press('Enter')
  await expect(dialogOf(page, 'Make an organisation').getByRole('textbox', { name: 'Name' })).toHaveAccessibleDescription(/there is an organisation of this name already/)
  await dialogOf(page, 'Make an organisation').getByLabel('Name').fill('Rigs of the north')
  await page.keyboard.press('Enter')
  await expect(page.getByText('Made: Rigs of the north')).toBeVisible()
  await fitsEverywhere(page)
  // The network's own organisation is never closed.
  await expect(rowOf(page, "The network's own").getByRole('button')).toHaveText(['Rename…'])

  await rowOf(page, 'Rigs of the north').getByRole('link', { name: 'Rigs of the north', exact: true }).click()
  await expect(page).toHaveURL(/\/users\?org_id=o_/)
  await expect(page.getByText('No users match Organisation: Rigs of the north.')).toBeVisible()
  await page.getByRole('button', { name: 'Invite a user' }).click()
  const form = dialogOf(page, 'Invite a user')
  const invite = form.getByRole('button', { name: 'Invite', exact: true })
  await expect(invite).toHaveAccessibleDescription('Write an e-mail address first')
  await expect(form.getByRole('combobox', { name: 'Organisation' }).locator('option:checked')).toHaveText('Rigs of the north')
  await expect(form.getByRole('checkbox', { name: 'Admin' })).toBeDisabled()
  await form.getByLabel('E-mail').fill(ADMIN.email)
  await form.getByRole('checkbox', { name: 'Operator' }).press('Space')
  await invite.press('Enter')
  await expect(form.getByRole('textbox', { name: 'E-mail' })).toHaveAccessibleDescription(/there is a user with this email already/)
  await expectAccessible(page)
  await form.getByLabel('E-mail').fill(EMAIL)
  await invite.press('Enter')
  const shown = dialogOf(page, `A link for ${EMAIL}`)
  await expect(shown).toContainText('It works once, until')
  // It is shown once, so that no slip of the hand closes it.
  await page.keyboard.press('Escape')
  await expect(shown).toBeVisible()
  await expectAccessible(page)
  const link = (await shown.getByLabel('Sign-in link', { exact: true }).innerText()).trim()
  expect(link.startsWith(`${BASE_URL}/sign-in#token=`)).toBe(true)
  await shown.getByRole('button', { name: 'I have passed it on' }).click()
  await expect(page.getByRole('button', { name: 'Invite a user' })).toBeFocused()
  await expect(rowOf(page, EMAIL)).toContainText('operator')
  await expect(rowOf(page, EMAIL).getByTitle('Never signed in')).toBeAttached()

  const theirs = await arrive(browser, link)
  await expect(nav(theirs)).toHaveText(['Overview', 'Nodes', 'Receipts', 'Run a node'])
  await nav(theirs).filter({ hasText: 'Run a node' }).click()
  await expect(theirs.getByRole('button', { name: 'Make the command' })).toBeVisible()
  await theirs.context().close()
})

test('an admin changes what somebody may do and shuts them out, and their page follows at once', async ({ page, browser }) => {
  const east = await makeOrg(page, 'East hall')
  const { path } = await ask<{ path: string }>(page, 'POST', '/users', { email: IDA, org_id: east, roles: ['operator'] })
  const theirs = await arrive(browser, `${BASE_URL}${path}`)
  await theirs.goto('/run')
  await expect(theirs.getByRole('button', { name: 'Make the command' })).toBeVisible()
  await expect(theirs.getByText('Live', { exact: true })).toBeVisible()

  await page.goto('/users')
  await settled(page)
  await fitsEverywhere(page)
  await page.getByRole('searchbox', { name: 'Search the users' }).fill('IDA@')
  await expect(page).toHaveURL('/users?q=IDA%40')
  await settled(page)
  await expect(page.locator('tbody tr')).toHaveCount(1)
  await rowOf(page, IDA).getByRole('link', { name: IDA }).press('Enter')
  await expect(page.getByRole('heading', { name: IDA })).toBeVisible()
  await settled(page)
  await fitsEverywhere(page)

  await page.getByRole('button', { name: 'Change roles in East hall' }).press('Enter')
  const roles = dialogOf(page, 'Roles in East hall')
  await expect(roles.getByRole('button', { name: 'Change roles' })).toHaveAccessibleDescription('Nothing is changed yet')
  await roles.getByRole('checkbox', { name: 'Operator' }).press('Space')
  await roles.getByRole('checkbox', { name: 'Viewer' }).press('Space')
  await expectAccessible(page)
  await roles.getByRole('button', { name: 'Change roles' }).press('Enter')
  await expect(rowOf(page, 'East hall')).toContainText('Viewer')
  await expect(page.getByRole('button', { name: 'Change roles in East hall' })).toBeFocused()
  // Nobody touches the other page.
  await expect(theirs.getByText('Your account may not enrol nodes')).toBeVisible()
  await expect(nav(theirs)).toHaveText(['Overview', 'Nodes'])
  await expect(theirs.getByText('Your roles changed: Viewer')).toBeVisible()
  await theirs.goto('/users')
  await expect(theirs.getByText('Your account may not see the users')).toBeVisible()
  await theirs.goto('/organisations')
  await expect(theirs.getByText('Your account may not see the organisations')).toBeVisible()

  await page.getByRole('button', { name: 'Disable…' }).click()
  const disable = dialogOf(page, `Disable ${IDA}`)
  await expect(disable).toContainText('end for good')
  await expect(disable.getByRole('button', { name: 'Disable the account' })).toHaveAccessibleDescription('Write a reason first')
  await disable.getByLabel('Reason').fill('left the company')
  await page.keyboard.press('Enter')
  await expect(dialogOf(theirs, 'Sign in again')).toBeVisible()
  await expect(dialogOf(theirs, 'Sign in again')).toContainText('whether your account is still open')
  await expect(page.getByRole('button', { name: 'Enable…' })).toBeFocused()
  await expect(page.getByRole('button', { name: 'New sign-in link' })).toHaveAccessibleDescription('The account is disabled: enable it first')
  // On a phone, too, the list says so.
  const phone = await page.context().newPage()
  await phone.setViewportSize({ width: 390, height: 800 })
  await phone.goto('/users?q=IDA%40')
  await expect(rowOf(phone, IDA).getByText('Disabled').first()).toBeVisible()
  await phone.close()

  await page.keyboard.press('Enter')
  await dialogOf(page, `Enable ${IDA}`).getByRole('button', { name: 'Enable the account' }).click()
  await page.getByRole('button', { name: 'New sign-in link' }).click()
  await dialogOf(page, 'New sign-in link').getByRole('button', { name: 'Make the link' }).click()
  const again = (await page.getByLabel('Sign-in link', { exact: true }).innerText()).trim()
  await page.getByRole('button', { name: 'I have passed it on' }).click()
  await theirs.goto('about:blank')
  await theirs.goto(again)
  await expect(nav(theirs)).toHaveText(['Overview', 'Nodes'])
  await page.getByRole('link', { name: 'In the audit log' }).click()
  await settled(page)
  await expect(page.locator('tbody .col-action').filter({ hasText: 'user.disable' })).toHaveCount(1)
  await expect(page.locator('tbody')).toContainText('left the company')
  await theirs.context().close()
})

test('somebody is added, taken out, and an organisation with nodes stays open', async ({ page, watch }) => {
  watch.allow(/409/)
  const [hall] = [await makeOrg(page, 'North hall')]
  await userLink('wen@example.org', BASE_URL, {}, 'viewer')
  await page.goto(`/users/${await userOf(page, 'wen@example.org')}`)
  await settled(page)
  await page.getByRole('button', { name: 'Add to an organisation' }).click()
  const add = dialogOf(page, 'Add to an organisation')
  await expect(add.getByRole('button', { name: 'Add' })).toHaveAccessibleDescription('Choose an organisation first')
  await add.getByLabel('Organisation').selectOption('North hall')
  await add.getByRole('checkbox', { name: 'Viewer' }).check()
  await add.getByRole('button', { name: 'Add' }).click()
  await expect(rowOf(page, 'North hall')).toContainText('Viewer')
  await page.getByRole('button', { name: 'Take out of North hall' }).click()
  const out = dialogOf(page, 'Take out of North hall')
  await expect(out).toContainText('enrolment tokens that they made there stop to work')
  await out.getByRole('button', { name: 'Take out' }).click()
  await expect(rowOf(page, 'North hall')).toHaveCount(0)
  await expect(page.getByRole('button', { name: 'Add to an organisation' })).toBeFocused()

  running.push(
    start('fleet-hall', simulator(), ['fleet', '--api', BASE_URL, '--nodes', '1', '--rate', '1', '--duration', '3600', '--prefix', 'hall'], { DGON_ENROL_TOKEN: await enrolmentToken(1, 'eu-west', {}, hall) }),
  )
  await page.goto('/organisations')
  await expect.poll(async () => (await ask<{ items: { name: string; nodes: number }[] }>(page, 'GET', '/orgs')).items.find((one) => one.name === 'North hall')?.nodes).toBe(1)
  await page.reload()
  await page.getByRole('button', { name: 'Close North hall' }).click()
  const close = dialogOf(page, 'Close North hall')
  await close.getByLabel('Reason').fill('sold')
  await expect(close).toContainText('It has 1 node, and must have none')
  await expect(close.getByRole('button', { name: 'Close for good' })).toHaveAttribute('aria-disabled', 'true')
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'Rename North hall' }).click()
  await dialogOf(page, 'Rename North hall').getByLabel('Name').fill('Attic')
  await page.keyboard.press('Enter')
  await expect(rowOf(page, 'Attic')).toHaveCount(1)

  // Its node is retired, for good, by whoever types its id; then it closes.
  const [node] = (await ask<{ items: { node_id: string }[] }>(page, 'GET', '/nodes?q=hall')).items
  const nodeId = node?.node_id ?? ''
  await page.goto(`/nodes/${nodeId}`)
  await page.getByRole('button', { name: 'Retire…' }).click()
  const retire = dialogOf(page, `Retire ${nodeId}`)
  await retire.getByLabel('Reason').fill('sold')
  await expect(retire.getByRole('button', { name: 'Retire for good' })).toHaveAttribute('aria-disabled', 'true')
  await retire.getByLabel(`Type ${nodeId}`).fill(nodeId)
  await expectAccessible(page)
  await page.keyboard.press('Enter')
  await expect(page.getByRole('button', { name: 'Retire…' })).toHaveCount(0)
  await expect(page.getByText('Admin retired.')).toBeVisible()
  await page.goto('/organisations')
  await page.getByRole('button', { name: 'Close Attic' }).click()
  await expect(dialogOf(page, 'Close Attic')).toContainText('It has no nodes')
  await dialogOf(page, 'Close Attic').getByLabel('Reason').fill('sold')
  await page.keyboard.press('Enter')
  await expect(rowOf(page, 'Attic').getByRole('button')).toHaveCount(0)

  await makeOrg(page, 'For a day')
  await page.reload()
  await page.getByRole('button', { name: 'Close For a day' }).click()
  await dialogOf(page, 'Close For a day').getByLabel('Reason').fill('over')
  await page.keyboard.press('Enter')
  await expect(rowOf(page, 'For a day')).toContainText('Closed')
  await expect(page.getByRole('link', { name: 'For a day', exact: true })).toBeFocused()
})

test('the last admin is told why they stay one', async ({ page, watch }) => {
  watch.allow(/409/)
  await page.goto(`/users/${await userOf(page, ADMIN.email)}`)
  await settled(page)
  await page.getByRole('button', { name: 'Disable…' }).click()
  const disable = dialogOf(page, `Disable ${ADMIN.email}`)
  await expect(disable).toContainText('This is your own account.')
  await disable.getByLabel('Reason').fill('tired')
  await page.keyboard.press('Enter')
  await expect(disable.getByRole('alert')).toContainText('make another one an admin first')
  await page.keyboard.press('Escape')
  await expect(page.getByRole('button', { name: 'Disable…' })).toBeFocused()
  await page.getByRole('button', { name: 'Change roles in' }).click()
  const roles = page.getByRole('dialog')
  await roles.getByRole('checkbox', { name: 'Admin' }).uncheck()
  await roles.getByRole('button', { name: 'Change roles' }).click()
  await expect(roles.getByRole('alert')).toContainText('make another one an admin first')
})

test('lists that cannot be read say so, and what the address has wrong is named', async ({ page, watch }) => {
  watch.allow(/50\d|404/)
  const refuse = { status: 500, contentType: 'application/json', body: JSON.stringify({ error: { type: 'internal', message: 'The store did not answer.', request_id: 'req-77b1', details: {} } }) }
  for (const [address, asked, what] of [
    ['/users?role=king', /api\/v1\/users\?/, 'users'],
    ['/organisations?role=king', /api\/v1\/orgs\?limit=50/, 'organisations'],
  ] as const) {
    await page.route(asked, (route) => route.fulfill(refuse))
    await page.goto(address)
    await expect(page.getByRole('alert')).toContainText('req-77b1')
    await expect(page.getByText(`No ${what}`)).toHaveCount(0)
    await expect(page.getByText('Ignored filter role=king')).toBeVisible()
    await page.unroute(asked)
    await page.getByRole('button', { name: 'Retry' }).click()
    await settled(page)
    await expect(page.locator('tbody tr').first()).toBeVisible()
  }
  await page.goto('/users/u_nobody')
  await expect(page.getByRole('alert')).toContainText("Couldn't load this user")
  // Keys lead there as the help says.
  await page.keyboard.press('g')
  await page.keyboard.press('c')
  await expect(page).toHaveURL('/organisations')
  await page.keyboard.press('g')
  await page.keyboard.press('p')
  await expect(page).toHaveURL('/users')
  await page.keyboard.press('g')
  await page.keyboard.press('i')
  await expect(page).toHaveURL('/assignments')
  await page.keyboard.press('g')
  await page.keyboard.press('d')
  await expect(page).toHaveURL('/audit')
})

test('pages of people go by cursor', async ({ page }) => {
  await page.goto('/users')
  await settled(page)
  const asked: string[] = []
  await page.route(/api\/v1\/users\?limit=50/, async (route) => {
    const url = new URL(route.request().url())
    asked.push(url.searchParams.get('cursor') ?? '')
    url.searchParams.set('limit', '2')
    await route.fulfill({ response: await route.fetch({ url: url.href }) })
  })
  await page.reload()
  await settled(page)
  const first = await rowIds(page)
  expect(first).toHaveLength(2)
  await page.getByRole('button', { name: 'Next' }).press('Enter')
  await expect(page).toHaveURL(/\/users\?cursor=/)
  await settled(page)
  const second = await rowIds(page)
  expect(second.some((id) => first.includes(id))).toBe(false)
  await page.getByRole('button', { name: 'Previous' }).click()
  await expect.poll(() => rowIds(page)).toEqual(first)
})
