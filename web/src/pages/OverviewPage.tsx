import { useQuery } from '@tanstack/react-query'
import { query } from '~/api/queries'
import { KpiCards } from '~/components/KpiCards'
import { RegionPanel } from '~/components/RegionPanel'
import { TrendPanel } from '~/components/TrendPanel'
import { useMe } from '~/hooks/use-me'
import { hasRole } from '~/stores/session'
import { AppLink } from '~/ui/AppLink'
import { PageHeading } from '~/ui/PageHeading'
import { EmptyState, RefreshFailed } from '~/ui/states'
import { path } from '~/util/path-builder'

export function OverviewPage() {
  const summary = useQuery(query.summary())
  const trends = useQuery(query.trends())
  const me = useMe()
  const nodes = summary.data && Object.values(summary.data.nodes).reduce((sum, n) => sum + n, 0)
  return (
    <>
      <PageHeading title="Overview" lead="The network now and over the last 24 hours." />
      <RefreshFailed query={summary} what="the figures" />
      {nodes === 0 && (
        <section className="panel welcome">
          <EmptyState
            title="No nodes yet"
            action={
              hasRole(me, 'admin', 'operator') && (
                <AppLink className="button button-primary" href={path.run()}>
                  Run the first one
                </AppLink>
              )
            }
          >
            A node is a machine with an LLM runtime and the DGON agent beside it. It takes one command and no open port.
          </EmptyState>
        </section>
      )}
      <KpiCards summary={summary} trends={trends} />
      <TrendPanel trends={trends} />
      <RegionPanel summary={summary} />
    </>
  )
}
