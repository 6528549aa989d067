// What the tests of people and organisations do again and again.
import type { Browser, Page } from '@playwright/test'
import { NOBODY, expect } from './fixtures'

/** A browser of somebody else, in by a link. */
export async function arrive(browser: Browser, link: string): Promise<Page> {
  const context = await browser.newContext({ storageState: NOBODY })
  const page = await context.newPage()
  await page.goto(link)
  await expect(page.getByText('Live', { exact: true })).toBeVisible()
  return page
}

export const nav = (page: Page) => page.getByRole('navigation', { name: 'Main' }).getByRole('link')
export const dialogOf = (page: Page, name: string) => page.getByRole('dialog', { name })
export const rowOf = (page: Page, text: string) => page.locator('tbody tr', { hasText: text })

/** Asks the API as the admin whose page it is, or whose requests. */
export async function ask<T>(page: Pick<Page, 'request'>, method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, data?: object): Promise<T> {
  const me = (await (await page.request.get('/api/v1/users/me')).json()) as { csrf_token: string }
  const answer = await page.request.fetch(`/api/v1${path}`, { method, headers: { 'x-csrf-token': me.csrf_token }, ...(data && { data }) })
  expect(answer.ok(), `${method} ${path}: ${await answer.text()}`).toBe(true)
  return (await answer.json()) as T
}

export const makeOrg = async (page: Page, name: string) => (await ask<{ org_id: string }>(page, 'POST', '/orgs', { name })).org_id
export const userOf = async (page: Page, email: string) => (await ask<{ items: { user_id: string }[] }>(page, 'GET', `/users?q=${encodeURIComponent(email)}`)).items[0]?.user_id ?? ''
