import { useRouter, useRouterState } from '@tanstack/react-router'
import { useCallback } from 'react'
import { type Search, queryText } from '~/util/path-builder'

/** The query of the address as plain text values, and a way to change some of them. */
export function useSearchParams(): readonly [Search, (change: Search, how?: 'push' | 'replace') => void] {
  const router = useRouter()
  const search = useRouterState({ select: ({ location }) => location.search as Search })
  const change = useCallback(
    (patch: Search, how: 'push' | 'replace' = 'push') => {
      const { location } = router.state
      const next = { ...(location.search as Search), ...patch }
      if (queryText(next) === queryText(location.search as Search)) return
      void router.navigate({ href: `${location.pathname}${queryText(next)}`, replace: how === 'replace', resetScroll: false, state: (was) => was })
    },
    [router],
  )
  return [search, change]
}
