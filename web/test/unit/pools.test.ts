import { afterEach, describe, expect, it, vi } from 'vitest'
import { turnPoolsOn } from '~/api/flags'
import type { Me } from '~/api/types'
import { currentMe, session, signedIn, signedOut } from '~/stores/session'
import { existenceText, labelsText, readLabels } from '~/util/pools'

describe('labels of a pool', () => {
  it('are typed as they are shown', () => {
    const labels = { tier: 'gold', 'site.example/hall': 'north', empty: '' }
    expect(readLabels(labelsText(labels))).toEqual(labels)
    expect(readLabels(' tier = gold ,, alone ')).toEqual({ tier: 'gold', alone: '' })
    expect(readLabels('')).toEqual({})
    // What stands after the first = is the value.
    expect(readLabels('k=a=b')).toEqual({ k: 'a=b' })
  })

  it('have a key each, and no key twice', () => {
    expect(readLabels('=gold')).toBeNull()
    expect(readLabels('tier=gold, tier=silver')).toBeNull()
  })
})

describe('what others are told of a pool', () => {
  it('is a sentence, and the word of a newer server as it is', () => {
    expect(existenceText('hidden')).toContain('nothing of it exists')
    expect(existenceText('listed')).toContain('told that it exists')
    expect(existenceText('open')).toBe('open')
  })
})

describe('turning private pools on', () => {
  const ANA: Me = { user_id: 'u_1', email: 'ana@example.org', org_id: 'main', roles: ['admin'], memberships: [], csrf_token: 'c', has_password: true, private_pools: false }
  const asked: unknown[] = []
  const answering = (...answers: Response[]) =>
    vi.stubGlobal('fetch', async (path: string, { method, body }: RequestInit) => {
      asked.push([method, path, body])
      return answers.shift()
    })
  afterEach(() => {
    asked.length = 0
    signedOut()
    vi.unstubAllGlobals()
  })

  it('is told with the own session, so that the page goes on', async () => {
    signedIn(ANA)
    answering(Response.json({ items: [] }), Response.json({ ...ANA, private_pools: true }))
    await turnPoolsOn()
    expect(asked).toEqual([
      ['PUT', '/api/v1/flags/enable_private_pools', '{"enabled":true}'],
      ['GET', '/api/v1/users/me', undefined],
    ])
    expect(currentMe(session.get())?.private_pools).toBe(true)
  })

  it('is not said where it was refused', async () => {
    signedIn(ANA)
    answering(Response.json({ error: { type: 'forbidden', message: 'No.', request_id: 'r', details: {} } }, { status: 403 }))
    await expect(turnPoolsOn()).rejects.toThrow('No.')
    expect(currentMe(session.get())?.private_pools).toBe(false)
  })
})
