// A page that notices what a person would not: console errors, page errors and violations of the CSP.
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Browser, type Page, type PlaywrightWorkerArgs, expect, test as base } from '@playwright/test'
import { noteSecretsOf } from './kept'
import { ADMIN, BASE_URL, SIGNED_IN } from './place'

export { expect }

interface Watch {
  /** Expected trouble of a test that makes trouble on purpose. */
  allow: (pattern: RegExp) => void
}

/** What a browser holds in which nobody signed in. */
export const NOBODY = { cookies: [], origins: [] }

/** Asks the API as nobody. Left to itself, a context of requests holds the cookies of the test's pages, and a sign-in there ends their session. */
export const strangersApi = ({ request }: PlaywrightWorkerArgs['playwright']) => request.newContext({ baseURL: BASE_URL, storageState: NOBODY })

/** Half of the time that an access token works. */
const SIGNED_IN_MS = 300_000

/** Every test begins with the same cookies: one that renews itself with them would end the session of those that follow. */
async function signInAnew(playwright: PlaywrightWorkerArgs['playwright']): Promise<void> {
  const api = await strangersApi(playwright)
  const answer = await api.post('/api/v1/auth/login', { data: ADMIN })
  expect(answer.status(), await answer.text()).toBe(200)
  const { cookies } = await api.storageState()
  // What the console keeps beside them stays: that somebody was signed in here.
  const before = JSON.parse(readFileSync(SIGNED_IN, 'utf8')) as object
  writeFileSync(SIGNED_IN, JSON.stringify({ ...before, cookies }), { mode: 0o600 })
  await api.dispose()
}

export const test = base.extend<{ watch: Watch }, { browser: Browser }>({
  // What is sent and given is noted of every context, also of those that tests make themselves.
  browser: [
    async ({ browser }, use) => {
      const make = browser.newContext.bind(browser)
      browser.newContext = async (options) => {
        const context = await make(options)
        noteSecretsOf(context)
        return context
      }
      await use(browser)
    },
    { scope: 'worker' },
  ],
  storageState: async ({ storageState, playwright }, use) => {
    if (storageState === SIGNED_IN && Date.now() - statSync(SIGNED_IN).mtimeMs > SIGNED_IN_MS) await signInAnew(playwright)
    await use(storageState)
  },
  page: async ({ page }, use) => {
    await use(page)
    // A page asks on its own while a test ends: an answer that is under way then must not fail the next test.
    await page.unrouteAll({ behavior: 'ignoreErrors' })
  },
  watch: [
    async ({ context }, use) => {
      const seen: string[] = []
      const allowed: RegExp[] = []
      context.on('console', (message) => {
        if (message.type() === 'error' || message.text().includes('securitypolicyviolation')) seen.push(`${message.text()} ${message.location().url}`)
      })
      context.on('weberror', (error) => seen.push(String(error.error())))
      await context.addInitScript(() => {
        document.addEventListener('securitypolicyviolation', (event) => {
          console.error(`securitypolicyviolation ${event.violatedDirective} ${event.blockedURI}`)
        })
      })
      await use({ allow: (pattern) => allowed.push(pattern) })
      expect(
        seen.filter((text) => !allowed.some((pattern) => pattern.test(text))),
        'console errors and CSP violations',
      ).toEqual([])
    },
    { auto: true },
  ],
})

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const RULES = ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']

interface AxeResult {
  violations: { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[]
}

export async function expectAccessible(page: Page): Promise<void> {
  // Injected, not added as a script: the page's CSP forbids those, as it should.
  await page.evaluate(axeSource)
  const result = await page.evaluate(
    (rules) => (globalThis as unknown as { axe: { run: (root: Document, options: object) => Promise<AxeResult> } }).axe.run(document, { runOnly: rules }),
    RULES,
  )
  const found = result.violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map(({ html, failureSummary }) => `  ${html}\n  ${failureSummary ?? ''}`).join('\n')}`)
  expect(found, `axe on ${page.url()}`).toEqual([])
}

export async function expectNoSidewaysScroll(page: Page): Promise<void> {
  const { scroll, client } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth }))
  expect(scroll, `${page.url()} scrolls sideways`).toBeLessThanOrEqual(client)
}

/** The page has its data: no skeleton is left. */
export async function settled(page: Page): Promise<void> {
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
  await expect(page.locator('.skeleton, .skeleton-line')).toHaveCount(0, { timeout: 15_000 })
  // Old rows stay until those of the new filter are there.
  await expect(page.locator('.table-wrap[aria-busy]')).toHaveCount(0, { timeout: 15_000 })
}

export const rowIds = (page: Page) => page.locator('tbody [data-row-link]').evaluateAll((links) => links.map((link) => link.getAttribute('data-row-link') ?? ''))
