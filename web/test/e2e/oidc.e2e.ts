// Signing in by a real issuer: npm's oidc-provider, in a process of its own, on another site than the console.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Page } from '@playwright/test'
import { NOBODY, expect, expectAccessible, expectNoSidewaysScroll, settled, test } from './fixtures'
import { PLACE } from './place'
import { type Running, controlPlane, freePort, start, userLink } from './programs'

const EMAIL = 'wren@example.org'
const PASSWORD = 'three small brown birds'
const DATA_DIR = join(PLACE, 'oidc')
const ENV = { DGON_DATA_DIR: DATA_DIR }

const running: Running[] = []
let url = ''
let issuerPort = 0

test.use({ storageState: NOBODY })

async function startIssuer(algorithm: 'RS256' | 'EdDSA'): Promise<Running> {
  const program = fileURLToPath(new URL('issuer.mjs', import.meta.url))
  const issuer = start('issuer', process.execPath, [program, String(issuerPort), `${url}/api/v1/auth/oidc/example/callback`, algorithm])
  running.push(issuer)
  await issuer.says(/issuer at/)
  return issuer
}

test.beforeAll(async () => {
  const port = await freePort()
  issuerPort = await freePort()
  const nobody = await freePort()
  url = `http://127.0.0.1:${port}`
  rmSync(DATA_DIR, { recursive: true, force: true })
  mkdirSync(DATA_DIR)
  writeFileSync(join(DATA_DIR, 'example.secret'), 'a secret of: the tests\n', { mode: 0o600 })
  const issuers = [
    { id: 'example', name: 'Example', issuer: `http://localhost:${issuerPort}`, client_id: 'console', client_secret_file: 'example.secret' },
    { id: 'away', name: 'Away', issuer: `http://localhost:${nobody}`, client_id: 'console' },
  ]
  // JSON is YAML, too.
  writeFileSync(join(DATA_DIR, 'oidc.yaml'), JSON.stringify(issuers))
  const env = { ...ENV, DGON_PUBLIC_URL: url, DGON_OIDC_FILE: join(DATA_DIR, 'oidc.yaml') }
  const server = start('oidc', controlPlane(), ['serve', '--bind', `127.0.0.1:${port}`], env)
  running.push(server)
  await server.says(/http\S+\/setup#token=\S+/)
})

test.afterAll(async () => {
  await Promise.all(running.map((program) => program.stop()))
})

test.beforeEach(async ({ context }) => {
  // The issuer's pages want a font from elsewhere.
  await context.route(/googleapis/, (route) => route.fulfill({ contentType: 'text/css', body: '' }))
})

const heading = (page: Page, name: string) => page.getByRole('heading', { level: 1, name })
const rows = (page: Page) => page.locator('section', { hasText: 'Accounts elsewhere' }).locator('.wallets li')
const linkButton = (page: Page) => page.getByRole('button', { name: 'Link an account at Example' })

async function signOut(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Sign out', exact: true }).click()
  await expect(page.getByRole('link', { name: 'Sign in' }).or(heading(page, 'Sign in'))).toBeVisible()
}

/** A browser that the issuer does not know. */
const forgetIssuer = (page: Page) => page.context().clearCookies({ domain: 'localhost' })

/** At the issuer: says who one is, and agrees. */
async function letIn(page: Page, name: string): Promise<void> {
  await expect(page).toHaveURL(/localhost/)
  await page.getByPlaceholder('Enter any login').fill(name)
  await page.getByPlaceholder('and password').fill('any')
  await page.getByRole('button', { name: 'Sign-in' }).click()
  await page.getByRole('button', { name: 'Continue' }).click()
}

async function goTo(page: Page, issuer: string, next = '/'): Promise<void> {
  await page.goto(`${url}/sign-in?next=${next}`)
  await page.getByRole('button', { name: `Continue with ${issuer}` }).click()
}

test('an account at an issuer is linked, signs in, and is taken away', async ({ page, watch }) => {
  test.setTimeout(180_000)
  watch.allow(/400|401|409|WebSocket/)
  const issuer = await startIssuer('RS256')
  await page.goto(await userLink(EMAIL, url, ENV, 'viewer'))
  await expect(heading(page, 'Account')).toBeVisible()
  await expect(page.getByText('No accounts elsewhere')).toBeVisible()

  // No at the issuer.
  await linkButton(page).click()
  await page.getByText('Cancel').click()
  await expect(heading(page, 'Account')).toBeVisible()
  await expect(page.getByRole('alert')).toContainText('You did not agree at the other site')
  await expect(page).toHaveURL(`${url}/account`)
  await settled(page)
  await expectAccessible(page)

  await linkButton(page).press('Enter')
  await letIn(page, 'wren')
  await expect(heading(page, 'Account')).toBeVisible()
  await expect(page.getByText('Linked: wren@issuer.example')).toBeVisible()
  await expect(page).toHaveURL(`${url}/account`)
  await expect(rows(page)).toHaveCount(1)
  await expect(rows(page)).toContainText('Example')
  await expect(rows(page)).toContainText('wren@issuer.example')
  await settled(page)
  await expectAccessible(page)
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 })
    await expectNoSidewaysScroll(page)
    await page.getByRole('button', { name: 'Take away' }).scrollIntoViewIfNeeded()
    await expect(page.getByRole('button', { name: 'Take away' })).toBeInViewport({ ratio: 1 })
  }
  // It is no way in that counts: neither a password nor a wallet would be left.
  await page.getByRole('button', { name: 'Take away' }).click()
  const dialog = page.getByRole('dialog', { name: 'Take this account away' })
  await dialog.getByRole('button', { name: 'Take away' }).click()
  await expect(dialog.getByRole('alert')).toContainText('set a password or link a wallet first')
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await signOut(page)

  await goTo(page, 'Example', '/account/sessions')
  // They go on where they wanted to.
  await expect(page).toHaveURL(`${url}/account/sessions`)
  await expect(page.locator('tbody tr', { hasText: 'This browser' })).toContainText('Account elsewhere')
  // Of this browser once: the way back is no way in a second time.
  const back = `${url}/api/v1/auth/oidc/example/callback?code=x&state=x&iss=x`
  await page.goto(back)
  await expect(page.getByRole('alert')).toContainText('That sign-in was used already')
  await signOut(page)

  // Another account there is another one, whatever its address is.
  await forgetIssuer(page)
  await goTo(page, 'Example')
  await letIn(page, 'robin')
  await expect(heading(page, 'Sign in')).toBeVisible()
  await expect(page.getByRole('alert')).toContainText('linked to no open account here. Sign in another way first')
  await expect(page).toHaveURL(`${url}/sign-in`)
  await settled(page)
  await expectAccessible(page)

  // The issuer is back with other keys, of another kind. They are looked for some seconds after the last time.
  await issuer.stop()
  await startIssuer('EdDSA')
  await expect(async () => {
    await page.context().clearCookies()
    await goTo(page, 'Example')
    await letIn(page, 'wren')
    await expect(heading(page, 'Overview').or(heading(page, 'Sign in'))).toBeVisible()
    await expect(heading(page, 'Overview')).toBeVisible({ timeout: 2_000 })
  }).toPass({ timeout: 90_000 })

  await page.goto(`${url}/account`)
  await page.getByLabel('New password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Set the password' }).click()
  await expect(page.getByText('Your password is set')).toBeVisible()
  await page.getByRole('button', { name: 'Take away' }).click()
  await dialog.getByRole('button', { name: 'Take away' }).click()
  await expect(page.getByText('Taken away: wren@issuer.example')).toBeVisible()
  await expect(page.getByText('No accounts elsewhere')).toBeVisible()
  await expect(linkButton(page)).toBeFocused()
})

test('what went wrong at an issuer is said in plain words', async ({ page, watch }) => {
  watch.allow(/401|503/)
  await page.goto(`${url}/sign-in?problem=unproven&next=/nodes`)
  await expect(page.getByRole('alert')).toContainText('proves nothing')
  await expect(page).toHaveURL(`${url}/sign-in?next=%2Fnodes`)
  await page.reload()
  await expect(page.getByRole('button', { name: 'Continue with Example' })).toBeVisible()
  await expect(page.getByRole('alert')).toHaveCount(0)
  // What stands in the address is not said.
  await page.goto(`${url}/sign-in?problem=%3Cb%3Ecall+this+number`)
  await expect(page.getByRole('alert')).toContainText('The control plane failed')
  await expect(page.getByText('call this number')).toHaveCount(0)
  // A way back that was begun in no browser.
  await page.goto(`${url}/api/v1/auth/oidc/example/callback?code=x&state=x`)
  await expect(page.getByRole('alert')).toContainText('was begun in another browser')
  await page.setViewportSize({ width: 320, height: 900 })
  await expectNoSidewaysScroll(page)

  await page.getByRole('button', { name: 'Continue with Away' }).click()
  await expect(page.getByText('the issuer does not answer as it should')).toBeVisible()
  await expect(page).toHaveURL(`${url}/sign-in`)
  await expectAccessible(page)
})
