import { useQuery } from '@tanstack/react-query'
import { useParams, useRouter, useRouterState } from '@tanstack/react-router'
import { useCallback, useEffect } from 'react'
import { query, queryClient } from '~/api/queries'
import type { NodeRow, Page } from '~/api/types'
import { NodeView } from '~/components/NodeView'
import { useOthers } from '~/hooks/use-others'
import { useSearchParams } from '~/hooks/use-search'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Dialog } from '~/ui/Dialog'
import { Icon } from '~/ui/Icon'
import { PageHeading } from '~/ui/PageHeading'
import { QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { nodeFilters } from '~/util/filters'
import { path } from '~/util/path-builder'

const SKELETON_LINES = 12

export function NodePage() {
  const nodeId = useParams({ strict: false, select: (params: { nodeId?: string }) => params.nodeId ?? '' })
  const isDrawer = useRouterState({ select: ({ location }) => (location.state as { drawer?: boolean }).drawer === true })
  return isDrawer ? <NodeDrawer nodeId={nodeId} /> : <NodeFullPage nodeId={nodeId} />
}

function NodeContent({ nodeId }: { nodeId: string }) {
  const node = useQuery(query.node(nodeId))
  useOthers(node, node.data?.withheld ?? false)
  return (
    <>
      <RefreshFailed query={node} what="this node" />
      <QueryStates query={node} what={`node ${nodeId}`} skeleton={<Skeleton lines={SKELETON_LINES} onRetry={() => void node.refetch()} />}>
        {(detail) => <NodeView node={detail} />}
      </QueryStates>
    </>
  )
}

function NodeFullPage({ nodeId }: { nodeId: string }) {
  const [{ tab: _, ...search }] = useSearchParams()
  return (
    <>
      <AppLink href={path.nodes(search)} className="back-link">
        <Icon name="chevronLeft" size={15} /> Nodes
      </AppLink>
      <PageHeading title={nodeId} />
      <section className="panel node-full" aria-label={`Node ${nodeId}`}>
        <h2 className="sr-only">Details</h2>
        <NodeContent nodeId={nodeId} />
      </section>
    </>
  )
}

function NodeDrawer({ nodeId }: { nodeId: string }) {
  const router = useRouter()
  const [search] = useSearchParams()
  const rows = queryClient.getQueryData<Page<NodeRow>>(query.nodes(nodeFilters(search).request).queryKey)?.items
  const at = rows?.findIndex((row) => row.node_id === nodeId) ?? -1

  const close = useCallback(() => {
    const { tab: _, ...listSearch } = search
    void router.navigate({ href: path.nodes(listSearch), resetScroll: false }).then(() => {
      // Back to where the person was in the list.
      requestAnimationFrame(() => document.querySelector<HTMLElement>(`[data-row-link="${CSS.escape(nodeId)}"]`)?.focus())
    })
  }, [router, search, nodeId])
  const step = useCallback(
    (by: 1 | -1) => {
      const target = at === -1 ? undefined : rows?.[at + by]
      if (target) void router.navigate({ href: path.node(target.node_id, search), state: { drawer: true } as object, replace: true, resetScroll: false })
    },
    [router, rows, at, search],
  )
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.target instanceof HTMLElement && /^(?:INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return
      if (event.key === '[') step(-1)
      if (event.key === ']') step(1)
    }
    document.addEventListener('keydown', onKeyDown)
    return () => document.removeEventListener('keydown', onKeyDown)
  }, [step])
  return (
    <Dialog
      title={nodeId}
      variant="drawer"
      onClose={close}
      headerExtra={
        <span className="drawer-tools">
          <Button tone="quiet" className="button-icon" icon="chevronLeft" aria-label="Previous node" title="Previous node ([)" disabledReason={at > 0 ? null : 'This is the first row'} onClick={() => step(-1)} />
          <Button tone="quiet" className="button-icon" icon="chevronRight" aria-label="Next node" title="Next node (])" disabledReason={at !== -1 && at < (rows?.length ?? 0) - 1 ? null : 'This is the last row'} onClick={() => step(1)} />
          <AppLink href={path.node(nodeId, search)} state={{ drawer: false }} className="button button-quiet button-icon" aria-label="Open as a page" title="Open as a page">
            <Icon name="expand" size={16} />
          </AppLink>
        </span>
      }
    >
      <NodeContent nodeId={nodeId} />
    </Dialog>
  )
}
