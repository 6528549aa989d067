// What was shown and is refused now is neither on the screen nor in the cache; what failed otherwise stays.
import { QueryObserver } from '@tanstack/react-query'
import { afterEach, expect, test, vi } from 'vitest'
import { ApiError } from '~/api/errors'
import { queryClient } from '~/api/queries'
import { readFailedAgain } from '~/api/read-again'

afterEach(() => {
  queryClient.clear()
  vi.useRealTimers()
})

const refusal = (type: string, status: number, details = {}) => new ApiError(type, 'No.', status, 'r', details)

/** Something shown, whose next read fails. */
async function refusedOnce(queryKey: string[], error: ApiError) {
  vi.useFakeTimers()
  queryClient.setQueryData(queryKey, 'private')
  const shown = new QueryObserver(queryClient, { queryKey, queryFn: () => Promise.reject(error), staleTime: Infinity, retry: false })
  const leave = shown.subscribe(() => {})
  await shown.refetch()
  await vi.advanceTimersByTimeAsync(0)
  const { data, error: told } = shown.getCurrentResult()
  leave()
  return { data, told }
}

test.each([
  ['it is not there', refusal('not_found', 404)],
  ['it is not for them', refusal('forbidden', 403)],
  ['it is told of, and no more', refusal('forbidden', 403, { restricted_to: 'pool members' })],
  ['there are no pools now', refusal('conflict', 409, { flag: 'enable_private_pools' })],
])('%s: nothing of it is left', async (_, error) => {
  expect(await refusedOnce(['pool', 'p'], error)).toEqual({ data: undefined, told: error })
  expect(queryClient.getQueryData(['pool', 'p'])).toBeUndefined()
})

test.each([
  ['nobody answered', refusal('unreachable', 0)],
  ['the server failed', refusal('internal', 500)],
  ['the session ended', refusal('unauthorized', 401)],
  ['a newer sign-in is asked for', refusal('forbidden', 403, { sign_in: 'again' })],
  ['too many asked', refusal('rate_limited', 429)],
])('%s: what was there stays', async (_, error) => {
  expect(await refusedOnce(['pool', 'p'], error)).toEqual({ data: 'private', told: error })
})

test('what stands beside it is read again, and what nobody sees is forgotten', async () => {
  queryClient.setQueryData(['nodes', { pool: 'p' }], 'a list of before')
  queryClient.setQueryData(['users', {}], 'people')
  const read = vi.fn(() => Promise.resolve('nodes'))
  const beside = new QueryObserver(queryClient, { queryKey: ['nodes', {}], queryFn: read })
  const leave = beside.subscribe(() => {})
  await vi.waitFor(() => expect(beside.getCurrentResult().data).toBe('nodes'))
  await refusedOnce(['node', 'n'], refusal('not_found', 404))
  expect(read).toHaveBeenCalledTimes(2)
  expect(queryClient.getQueryData(['nodes', { pool: 'p' }])).toBeUndefined()
  expect(queryClient.getQueryData(['users', {}])).toBe('people')
  leave()
})

test('what failed while the server was away is read once it is back; what it refused is not', async () => {
  vi.useFakeTimers()
  const fails = (error: ApiError) => vi.fn<() => Promise<string>>().mockRejectedValueOnce(error).mockResolvedValue('here')
  const away = fails(refusal('unreachable', 0))
  const refused = fails(refusal('not_found', 404))
  const shown = [away, refused].map((queryFn, at) => new QueryObserver(queryClient, { queryKey: ['orgs', String(at)], queryFn, retry: false }))
  const leave = shown.map((one) => one.subscribe(() => {}))
  await vi.advanceTimersByTimeAsync(0)
  expect(shown.map((one) => one.getCurrentResult().isError)).toEqual([true, true])
  readFailedAgain(queryClient)
  await vi.advanceTimersByTimeAsync(0)
  expect(shown.map((one) => one.getCurrentResult().data)).toEqual(['here', undefined])
  for (const one of leave) one()
})
