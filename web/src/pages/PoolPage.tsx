import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import { useRef, useState } from 'react'
import { query } from '~/api/queries'
import type { NodeRow, PoolDetail, PoolMember } from '~/api/types'
import { Facts } from '~/components/Facts'
import { AdmitOrg, ChangePool, ClosePool, DismissOrg } from '~/components/PoolDialogs'
import { PutNode, TakeNodeOut } from '~/components/PoolNodeDialogs'
import { PoolsOnly } from '~/components/PoolsOnly'
import { NodeStatusChip } from '~/components/StatusChip'
import { useFocusAfter } from '~/hooks/use-focus-after'
import { useMe } from '~/hooks/use-me'
import { useOthers } from '~/hooks/use-others'
import { hasRole } from '~/stores/session'
import { AppLink } from '~/ui/AppLink'
import { Button } from '~/ui/Button'
import { Icon } from '~/ui/Icon'
import { PageHeading } from '~/ui/PageHeading'
import { QueryStates, RefreshFailed, Skeleton } from '~/ui/states'
import { Time } from '~/ui/Time'
import { plural } from '~/util/format'
import { path } from '~/util/path-builder'
import { existenceText, labelsText } from '~/util/pools'

const SKELETON_LINES = 8
const NODES_SHOWN = '25'

/** One private pool: what is said of it, its nodes, and whom it admits. */
export function PoolPage() {
  return (
    <PoolsOnly>
      <PoolContent />
    </PoolsOnly>
  )
}

function PoolContent() {
  const poolId = useParams({ strict: false, select: (params: { poolId?: string }) => params.poolId ?? '' })
  const pool = useQuery(query.pool(poolId))
  // Others change it, and end that one sees it.
  useOthers(pool, pool.data !== undefined)
  return (
    <>
      <AppLink href={path.pools()} className="back-link">
        <Icon name="chevronLeft" size={15} /> Private pools
      </AppLink>
      <PageHeading title={pool.data?.name ?? 'Private pool'} />
      <RefreshFailed query={pool} what="this pool" />
      <QueryStates query={pool} what="this pool" skeleton={<Skeleton lines={SKELETON_LINES} className="panel" onRetry={() => void pool.refetch()} />}>
        {(one) => (
          <>
            <PoolFacts pool={one} />
            <PoolNodesOf pool={one} />
            <Admitted pool={one} />
          </>
        )}
      </QueryStates>
    </>
  )
}

/** Whether something of the pool can be changed here. */
const useMayChange = (pool: PoolDetail) => hasRole(useMe(), 'admin') && !pool.closed_at

function PoolFacts({ pool }: { pool: PoolDetail }) {
  const mayChange = useMayChange(pool)
  const [doing, setDoing] = useState<'change' | 'close' | null>(null)
  const close = () => setDoing(null)
  return (
    <section className="panel node-full" aria-labelledby="pool-title">
      <div className="panel-head">
        <h2 id="pool-title">The pool</h2>
        {mayChange && (
          <span className="row-buttons">
            <Button onClick={() => setDoing('change')}>Change…</Button>
            <Button onClick={() => setDoing('close')}>Close…</Button>
          </span>
        )}
      </div>
      <Facts
        facts={[
          ['Organisation', pool.org_name],
          ['Labels', labelsText(pool.labels) || null, 'It has none'],
          ['To others', existenceText(pool.existence)],
          ['Made', <Time key="at" at={pool.created_at} form="full" />],
          ...(pool.closed_at ? [['Closed', <Time key="closed" at={pool.closed_at} form="full" />] as [string, React.ReactNode]] : []),
        ]}
      />
      {doing === 'change' && <ChangePool pool={pool} onClose={close} />}
      {doing === 'close' && <ClosePool pool={pool} onClose={close} />}
    </section>
  )
}

/** Members of an organisation see its pools; nodes are shown to those of them who run nodes, and to admins. */
function PoolNodesOf({ pool }: { pool: PoolDetail }) {
  const me = useMe()
  if (hasRole(me, 'admin') || hasRole(me, 'operator')) return <PoolNodes pool={pool} />
  return (
    <section className="panel node-full" aria-labelledby="pool-nodes-title">
      <div className="panel-head">
        <h2 id="pool-nodes-title">Nodes</h2>
      </div>
      <p className="node-people muted">It has {plural(pool.nodes, 'node')}. Operators and admins see which.</p>
    </section>
  )
}

function PoolNodes({ pool }: { pool: PoolDetail }) {
  const mayChange = useMayChange(pool)
  const nodes = useQuery(query.nodes({ pool: pool.pool_id, limit: NODES_SHOWN }))
  useOthers(nodes, nodes.data !== undefined)
  const [doing, setDoing] = useState<'put' | NodeRow | null>(null)
  const add = useRef<HTMLButtonElement>(null)
  useFocusAfter(doing && (doing === 'put' ? '' : doing.node_id), () => add.current)
  const close = () => setDoing(null)
  return (
    <section className="panel node-full" aria-labelledby="pool-nodes-title">
      <div className="panel-head">
        <h2 id="pool-nodes-title">Nodes</h2>
        <AppLink href={path.nodes({ pool: pool.pool_id })}>{plural(pool.nodes, 'node')} in the list</AppLink>
      </div>
      <div className="node-people">
        <RefreshFailed query={nodes} what="the nodes" />
        <QueryStates query={nodes} what="the nodes" skeleton={<Skeleton lines={3} onRetry={() => void nodes.refetch()} />}>
          {(page) =>
            page.items.length === 0 ? (
              <p className="muted">No node is in this pool.</p>
            ) : (
              <ul className="plain-list people">
                {page.items.map((row) => (
                  <li key={row.node_id}>
                    <span className="person">
                      <AppLink href={path.node(row.node_id)} className="mono">
                        {row.node_id}
                      </AppLink>{' '}
                      <NodeStatusChip status={row.status} />
                    </span>
                    {mayChange && (
                      <Button aria-label={`Take ${row.node_id} out…`} onClick={() => setDoing(row)}>
                        Take out…
                      </Button>
                    )}
                  </li>
                ))}
              </ul>
            )
          }
        </QueryStates>
        {mayChange && (
          <Button ref={add} onClick={() => setDoing('put')}>
            Put a node in…
          </Button>
        )}
      </div>
      {doing === 'put' && <PutNode pool={pool} onClose={close} />}
      {doing && doing !== 'put' && <TakeNodeOut pool={pool} nodeId={doing.node_id} onClose={close} />}
    </section>
  )
}

function Admitted({ pool }: { pool: PoolDetail }) {
  const mayChange = useMayChange(pool)
  const [doing, setDoing] = useState<'admit' | PoolMember | null>(null)
  const add = useRef<HTMLButtonElement>(null)
  useFocusAfter(doing && (doing === 'admit' ? '' : doing.org_id), () => add.current)
  const close = () => setDoing(null)
  return (
    <section className="panel node-full" aria-labelledby="admitted-title">
      <div className="panel-head">
        <h2 id="admitted-title">Organisations that it admits</h2>
      </div>
      <div className="node-people">
        {pool.admitted.length === 0 && <p className="muted">It admits nobody: {pool.org_name} alone sees its nodes.</p>}
        <ul className="plain-list people">
          {pool.admitted.map((one) => (
            <li key={one.org_id}>
              <span className="person">
                <strong className="break">{one.org_name}</strong>{' '}
                <span className="muted">
                  since <Time at={one.admitted_at} form="short" />, admitted by {one.admitted_by_email ?? 'an admin'}
                </span>
              </span>
              {mayChange && (
                <Button aria-label={`Take ${one.org_name} off…`} onClick={() => setDoing(one)}>
                  Take off…
                </Button>
              )}
            </li>
          ))}
        </ul>
        {mayChange && (
          <Button ref={add} onClick={() => setDoing('admit')}>
            Admit an organisation…
          </Button>
        )}
      </div>
      {doing === 'admit' && <AdmitOrg pool={pool} onClose={close} />}
      {doing && doing !== 'admit' && <DismissOrg pool={pool} member={doing} onClose={close} />}
    </section>
  )
}
