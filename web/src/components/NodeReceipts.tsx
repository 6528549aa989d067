import { receiptName } from '~/api/receipts'
import type { NodeDetail } from '~/api/types'
import { DataTable } from '~/table/DataTable'
import { receiptColumns } from '~/table/receipt-columns'
import { AppLink } from '~/ui/AppLink'
import { EmptyState } from '~/ui/states'
import { path } from '~/util/path-builder'

const HIDDEN = new Set(['node', 'region', 'source', 'cached'])

export function NodeReceipts({ node }: { node: NodeDetail }) {
  if (node.withheld) return <EmptyState title="Receipts are not shown here">They are its operator's to see, and an admin's.</EmptyState>
  if (node.receipts.length === 0) return <EmptyState title="No receipts yet">The first one comes with the first request through this node's proxy.</EmptyState>
  return (
    <>
      <DataTable
        label={`Latest receipts of ${node.node_id}`}
        columns={receiptColumns().filter(({ id }) => !HIDDEN.has(id))}
        rows={node.receipts}
        rowKey={receiptName}
      />
      <AppLink href={path.receipts({ node_id: node.node_id })} className="more-link">
        All receipts of this node
      </AppLink>
    </>
  )
}
