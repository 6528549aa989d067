// The second factor: an authenticator app is set up, asked for after each way in, and taken away.
import { readFile } from 'node:fs/promises'
import { arrive, dialogOf, rowOf, userOf } from './admin'
import { authenticator } from './authenticator'
import { NOBODY, expect, expectAccessible, expectNoSidewaysScroll, settled, strangersApi, test } from './fixtures'
import { ADMIN, BASE_URL } from './place'
import { signInLink, userLink } from './programs'
import { PASSWORD, WRONG, account, addApp, begin, code, codeHeading, join, ownPassword, panel, press, readCodes, setUp, shownCodes, signInHeading, signOut, withApp } from './second-factor'
import { addEvmWallet } from './wallets'

test.describe('one’s own', () => {
  test.use({ storageState: NOBODY })

  test('an app is set up with its first code, and the recovery codes are not lost by a slip of the hand', async ({ page, browser, watch }) => {
    watch.allow(/400/)
    const email = 'vera@example.org'
    await join(page, email)
    const elsewhere = await arrive(browser, await signInLink(email))
    await panel(page).getByRole('button', { name: 'Set up…' }).press('Enter')
    const secret = await setUp(page).getByLabel('Secret', { exact: true }).innerText()
    expect(secret).toMatch(/^(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}$/)
    await expect(setUp(page).getByRole('img', { name: 'QR code' })).toBeVisible()
    await expect(setUp(page).getByRole('button', { name: 'Turn on' })).toHaveAccessibleDescription(/code that the app shows/)
    await expectAccessible(page)
    await page.setViewportSize({ width: 320, height: 900 })
    await expectNoSidewaysScroll(page)
    expect(await setUp(page).evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth)).toBeLessThanOrEqual(0)
    await page.setViewportSize({ width: 1280, height: 900 })

    // Whoever changes their mind has changed nothing; the next time it is another secret.
    await page.keyboard.press('Escape')
    await expect(panel(page).getByRole('button', { name: 'Set up…' })).toBeFocused()
    await page.keyboard.press('Enter')
    const app = authenticator(await setUp(page).getByLabel('Secret', { exact: true }).innerText())
    await code(setUp(page)).fill(WRONG)
    await expect(setUp(page).getByRole('button', { name: 'Turn on' })).toHaveAccessibleDescription('Enter your password first')
    await ownPassword(setUp(page)).fill(PASSWORD)
    await page.keyboard.press('Enter')
    await expect(code(setUp(page))).toHaveAccessibleDescription(/that code is not right/)
    await code(setUp(page)).fill(app.next())
    await page.keyboard.press('Enter')

    const codes = await readCodes(page)
    await expectAccessible(page)
    const saving = page.waitForEvent('download')
    await press(shownCodes(page), 'Download')
    const file = await saving
    expect(file.suggestedFilename()).toBe('dgon-recovery-codes.txt')
    const text = await readFile(await file.path(), 'utf8')
    expect(text).toContain(email)
    for (const one of codes) expect(text).toContain(`\n${one}\n`)
    for (let i = 0; i < 3; i += 1) await page.keyboard.press('Escape')
    await page.mouse.click(5, 5)
    await expect(shownCodes(page)).toBeVisible()
    expect(await readCodes(page)).toEqual(codes)
    await press(shownCodes(page), 'I have kept them')

    await expect(page.getByText('Your authenticator app is set up. All your other sign-ins ended.')).toBeVisible()
    await expect(dialogOf(elsewhere, 'Sign in again')).toBeVisible()
    await expect(panel(page)).toContainText('10 of 10 left')
    // The same button, with another word.
    await expect(panel(page).getByRole('button', { name: 'Turn off…' })).toBeFocused()
    await expectAccessible(page)
    for (const width of [320, 1280]) {
      await page.setViewportSize({ width, height: 900 })
      await expectNoSidewaysScroll(page)
    }

    // Over the page whose sign-in ended the code is asked for, too.
    const again = elsewhere.getByRole('dialog')
    await again.getByLabel('Password').fill(PASSWORD)
    await press(again, 'Sign in')
    await expect(code(again)).toBeFocused()
    await expectAccessible(elsewhere)
    await code(again).fill(app.next())
    await elsewhere.keyboard.press('Enter')
    await expect(elsewhere.getByRole('dialog')).toHaveCount(0)
    await elsewhere.goto('/account')
    await expect(panel(elsewhere)).toContainText('10 of 10 left')
    await elsewhere.context().close()
  })

  test('a sign-in takes the password and a code, each code once, and a recovery code where the app is gone', async ({ page, watch }) => {
    watch.allow(/400|401/)
    const email = 'milo@example.org'
    await join(page, email)
    const { app, codes } = await addApp(page)
    await signOut(page)

    await begin(page, email)
    await expect(codeHeading(page)).toBeVisible()
    await expect(code(page)).toBeFocused()
    await expect(page.getByLabel('Password')).toHaveCount(0)
    await expectAccessible(page)
    await page.setViewportSize({ width: 320, height: 900 })
    await expectNoSidewaysScroll(page)
    await page.setViewportSize({ width: 1280, height: 900 })
    await press(page, 'Start again')
    await expect(signInHeading(page)).toBeVisible()
    await expect(page.getByLabel('E-mail')).toHaveValue(email)
    await expect(page.getByLabel('Password')).toBeFocused()
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press('Enter')

    await code(page).fill(WRONG)
    await press(page, 'Sign in')
    await expect(code(page)).toHaveAccessibleDescription(/that code is not right/)
    await expect(code(page)).toBeFocused()
    // What was refused is chosen: one types over it.
    await page.keyboard.type(app.used())
    await page.keyboard.press('Enter')
    await expect(code(page)).toHaveAccessibleDescription(/used already/)
    await page.keyboard.type(app.next())
    await page.keyboard.press('Enter')
    await expect(account(page)).toBeVisible()
    await expect(page).toHaveURL('/account')

    const [first = '', second = '', third = ''] = codes
    await signOut(page)
    await begin(page, email)
    await code(page).fill(` ${first.toUpperCase().replace('-', ' ')} `)
    await page.keyboard.press('Enter')
    await expect(account(page)).toBeVisible()
    await expect(page.getByText('That recovery code is used up: 9 recovery codes are left')).toBeVisible()
    await expect(panel(page)).toContainText('9 of 10 left')
    await signOut(page)
    await begin(page, email)
    await code(page).fill(first)
    await page.keyboard.press('Enter')
    await expect(code(page)).toHaveAccessibleDescription(/none of your recovery codes/)
    await code(page).fill(second)
    await page.keyboard.press('Enter')
    await expect(panel(page)).toContainText('8 of 10 left')

    await panel(page).getByRole('button', { name: 'New recovery codes…' }).press('Enter')
    const renewing = dialogOf(page, 'New recovery codes')
    await expect(renewing.getByRole('button', { name: 'Make new ones' })).toHaveAccessibleDescription('Enter a code first')
    await expectAccessible(page)
    await code(renewing).fill(third)
    await page.keyboard.press('Enter')
    const renewed = await readCodes(page)
    expect(renewed.some((one) => codes.includes(one))).toBe(false)
    await press(shownCodes(page), 'I have kept them')
    await expect(panel(page)).toContainText('10 of 10 left')
    await expect(panel(page).getByRole('button', { name: 'New recovery codes…' })).toBeFocused()

    await panel(page).getByRole('button', { name: 'Turn off…' }).press('Enter')
    const off = dialogOf(page, 'Turn off the authenticator app')
    await expectAccessible(page)
    await code(off).fill(codes[3] ?? '')
    await page.keyboard.press('Enter')
    await expect(code(off)).toHaveAccessibleDescription(/none of your recovery codes/)
    await code(off).fill(renewed[0] ?? '')
    await page.keyboard.press('Enter')
    await expect(page.getByText('Turned off')).toBeVisible()
    await expect(panel(page).getByRole('button', { name: 'Set up…' })).toBeFocused()
    await signOut(page)
    await begin(page, email)
    await expect(account(page)).toBeVisible()
  })

  test('after a link and after a wallet the code is asked for, too', async ({ page, context, watch }) => {
    // /healthz is no page and has no icon.
    watch.allow(/400|401|WebSocket|favicon/)
    const email = 'lena@example.org'
    const wallet = await addEvmWallet(context)
    await page.goto(await userLink(email, BASE_URL, {}, 'viewer'))
    await page.getByRole('button', { name: 'Link a wallet' }).click()
    await dialogOf(page, 'Link a wallet').getByRole('button', { name: 'Test Wallet' }).click()
    await expect(page.locator('.wallets li')).toHaveCount(1)
    const { app, codes } = await addApp(page)
    await signOut(page)

    const link = await signInLink(email)
    const open = async () => {
      // From a page that is none of the console: else only the fragment of the address would be another.
      await page.goto('/healthz')
      await page.goto(link)
    }
    await open()
    await expect(code(page)).toBeFocused()
    // It is not used up before the code was right.
    await press(page, 'Start again')
    await expect(page.getByRole('alert')).toContainText('Your sign-in link was not used up')
    await open()
    await code(page).fill(codes[0] ?? '')
    await page.keyboard.press('Enter')
    // Without a password one is led to where one sets it.
    await expect(account(page)).toBeVisible()
    await expect(page.getByText('Your wallets alone sign you in')).toBeVisible()
    await signOut(page)
    await expect(page.getByLabel('E-mail')).toBeVisible()

    // The first step is in a cookie of this browser: without it there is nothing to go on with.
    await page.goto('/sign-in?next=/account')
    const choose = async () => {
      await press(page, 'Continue with a wallet')
      await dialogOf(page, 'Sign in with a wallet').getByRole('button', { name: 'Test Wallet' }).click()
      await expect(code(page)).toBeFocused()
      await expect(page.getByRole('dialog')).toHaveCount(0)
    }
    await choose()
    await context.clearCookies()
    await code(page).fill(app.next())
    await page.keyboard.press('Enter')
    await expect(signInHeading(page)).toBeVisible()
    await expect(page.getByRole('alert')).toContainText('That took too long')
    await choose()
    await code(page).fill(app.used())
    await page.keyboard.press('Enter')
    await expect(account(page)).toBeVisible()
    // The session is the wallet's, as without a code.
    await page.goto('/account/sessions')
    await expect(rowOf(page, 'This browser')).toContainText('Wallet')
    await settled(page)
    await expect(page.getByText('Live', { exact: true })).toBeVisible()
    await wallet.say(page, 'accountsChanged', ['0x0000000000000000000000000000000000000001'])
    await expect(signInHeading(page)).toBeVisible()
    await expect(page.getByRole('alert')).toContainText('Test Wallet changed to another account')
  })

  test('a link of somebody else makes the page theirs once their code is right, and not before', async ({ page, playwright, watch }) => {
    watch.allow(/400|401|WebSocket/)
    const api = await strangersApi(playwright)
    const [recovery = ''] = await withApp(api, 'ines@example.org')
    await api.dispose()
    await join(page, 'mara@example.org')
    await page.goto(await signInLink('ines@example.org'))
    await expect(code(page)).toBeFocused()
    expect(await (await page.request.get('/api/v1/users/me')).json()).toMatchObject({ email: 'mara@example.org' })
    await code(page).fill(WRONG)
    await page.keyboard.press('Enter')
    await expect(code(page)).toHaveAccessibleDescription(/that code is not right/)
    await code(page).fill(recovery)
    await page.keyboard.press('Enter')
    await expect(account(page)).toBeVisible()
    await expect(page.getByRole('link', { name: 'ines@example.org' })).toBeVisible()
    await expect(panel(page)).toContainText('9 of 10 left')
  })
})

test('an admin takes away the second factor of somebody who has lost it, and not their own', async ({ page, browser, playwright }) => {
  const email = 'nils@example.org'
  const api = await strangersApi(playwright)
  await withApp(api, email)
  await api.dispose()
  const reset = page.getByRole('button', { name: 'Reset second factor' })
  await page.goto(`/users/${await userOf(page, ADMIN.email)}`)
  await settled(page)
  await expect(reset).toHaveAccessibleDescription(/on your account page/)

  await page.goto(`/users/${await userOf(page, email)}`)
  await settled(page)
  const fact = page.locator('dt', { hasText: 'Second factor' }).locator('+ dd')
  await expect(fact).toContainText('Since')
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
  }
  await reset.press('Enter')
  const dialog = dialogOf(page, `Reset the second factor of ${email}`)
  await expect(dialog.getByRole('button', { name: 'Reset' })).toHaveAccessibleDescription('Write a reason first')
  await expectAccessible(page)
  await dialog.getByLabel('Reason').fill('lost the phone')
  await page.keyboard.press('Enter')
  await expect(dialog).toHaveCount(0)
  await expect(fact).toHaveText('None')
  await expect(reset).toBeFocused()
  await expect(reset).toHaveAccessibleDescription('They have no second factor')

  const theirs = await arrive(browser, await signInLink(email))
  await expect(account(theirs)).toBeVisible()
  await expect(panel(theirs).getByRole('button', { name: 'Set up…' })).toBeVisible()
  await theirs.context().close()
  await page.getByRole('link', { name: 'In the audit log' }).click()
  await settled(page)
  await expect(page.locator('tbody .col-action').filter({ hasText: 'second_factor.reset' })).toHaveCount(1)
  await expect(page.locator('tbody')).toContainText('lost the phone')
})
