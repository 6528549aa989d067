import { useRouter, useRouterState } from '@tanstack/react-router'
import { Button } from '~/ui/Button'
import { count, plural } from '~/util/format'
import { type Search, queryText } from '~/util/path-builder'

interface Props {
  shown: number
  total: number | null | undefined
  nextCursor: string | null | undefined
  search: Search
  /** What one row is, and several where an s does not make them. */
  noun: string
  nouns?: string
}

interface Trail {
  /** Cursors of the pages before this one; the first page has none. */
  trail?: string[]
}

/** Pages by cursor. The cursor is in the address, the way back in the history entry. */
export function Pager({ shown, total, nextCursor, search, noun, nouns }: Props) {
  const router = useRouter()
  const trail = useRouterState({ select: ({ location }) => (location.state as Trail).trail }) ?? []
  const go = (cursor: string | undefined, nextTrail: string[]) => {
    const { pathname } = router.state.location
    void router.navigate({ href: `${pathname}${queryText({ ...search, cursor })}`, state: { trail: nextTrail } as object })
  }
  const isFirst = !search.cursor
  return (
    <nav className="pager" aria-label="Pages">
      <span className="muted">{typeof total === 'number' ? `${count(shown)} of ${plural(total, noun, nouns)}` : `${plural(shown, noun, nouns)} on this page`}</span>
      <Button
        icon="chevronLeft"
        disabledReason={isFirst ? 'This is the first page' : null}
        onClick={() => go(trail.at(-1) || undefined, trail.slice(0, -1))}
      >
        Previous
      </Button>
      <Button disabledReason={nextCursor ? null : 'This is the last page'} onClick={() => nextCursor && go(nextCursor, [...trail, search.cursor ?? ''])}>
        Next
      </Button>
    </nav>
  )
}
