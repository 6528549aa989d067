import { readFile } from 'node:fs/promises'
import { expect, expectAccessible, expectNoSidewaysScroll, settled, test } from './fixtures'
import { ADMIN } from './place'

interface Entry {
  actor: string
  action: string
  object: string
  seq: number | null
}

test('the audit log says who signed in, narrows by what is typed or clicked, and is exported as it is filtered', async ({ page }) => {
  await page.goto('/audit')
  await settled(page)
  await expectAccessible(page)
  await expectNoSidewaysScroll(page)
  const action = page.locator('tbody .col-action')
  const searchBox = page.getByRole('searchbox', { name: 'Search the audit log' })
  await searchBox.fill('session.setup')
  await expect(page).toHaveURL(/\?action=session\.setup$/)
  await settled(page)
  const told = await page.evaluate(() => fetch('/api/v1/audit?action=session.setup&limit=50').then((answer) => answer.json() as Promise<{ items: Entry[] }>))
  await expect(action).toHaveCount(told.items.length)
  expect(new Set(await action.allInnerTexts())).toEqual(new Set(['session.setup']))

  const [first] = told.items
  await page.locator('tbody .col-actor a').first().click()
  await expect(page).toHaveURL(`/audit?action=session.setup&actor=${first?.actor ?? ''}`)
  await settled(page)
  const saving = page.waitForEvent('download')
  await page.getByRole('link', { name: 'Export CSV' }).click()
  const file = await readFile(await (await saving).path(), 'utf8')
  const [head, ...lines] = file.trimEnd().split('\r\n')
  expect(head).toContain('id,seq,at,')
  expect(lines.every((line) => line.includes(`,${first?.actor ?? ''},session.setup,`))).toBe(true)

  await page.getByRole('button', { name: 'Clear filters' }).click()
  await expect(page).toHaveURL('/audit')
  await searchBox.fill(first?.object ?? '')
  await expect(page).toHaveURL(`/audit?object=${first?.object ?? ''}`)
  await settled(page)
  await expect(page.locator('tbody tr')).toHaveCount(1)
  await searchBox.fill('no-such-node')
  await expect(page.getByText('No entries match Object: node:no-such-node.')).toBeVisible()
  // Who did it has a name for people, and is found by it.
  await searchBox.fill(ADMIN.email)
  await expect(page).toHaveURL(`/audit?actor=${encodeURIComponent(ADMIN.email)}`)
  await settled(page)
  const actors = await page.locator('tbody .col-actor').allInnerTexts()
  expect(new Set(actors)).toEqual(new Set([ADMIN.email]))
})
