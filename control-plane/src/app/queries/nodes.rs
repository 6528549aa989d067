//! The nodes list and one node.

use super::{PAGE_DEFAULT, PAGE_MAX, QueryError};
use crate::app::App;
use crate::app::views::{NodeDetail, NodeKeyView, NodeKeys, NodeRow, Now, Page, ReceiptRow};
use crate::presence::NodePresence;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::assignments::Assigned;
use dgon_control_plane_store::node_queries::{
    NodeCursor, NodeFilter, NodeListRow, NodeOrder, NodePage, SortKey,
};
use dgon_control_plane_store::pools::InPool;
use dgon_control_plane_store::receipt_queries::ReceiptFilter;
use dgon_protocol::frame::LifecycleStatus;
use dgon_protocol::id::NodeId;

/// Receipts on a node's page.
const RECEIPTS_SHOWN: i64 = 10;

/// What was asked of the nodes list.
#[derive(Debug, Clone, Default)]
pub struct NodeQuery {
    /// Of this org alone.
    pub owner_org_id: Option<String>,
    /// Whom they are assigned to.
    pub assigned: Option<Assigned>,
    /// In this private pool.
    pub pool_id: Option<String>,
    /// Statuses as shown; none for all.
    pub statuses: Vec<LifecycleStatus>,
    /// Region.
    pub region: Option<String>,
    /// A runtime.
    pub runtime: Option<String>,
    /// A model.
    pub model: Option<String>,
    /// A part of the id.
    pub q: Option<String>,
    /// Order.
    pub order: NodeOrder,
    /// From the greatest down.
    pub falling: bool,
    /// Rows at most.
    pub limit: Option<i64>,
    /// From the page before.
    pub cursor: Option<String>,
}

/// `n` and the key, or `t` and the key, or nothing; a NUL; the id.
fn encode_cursor(cursor: &NodeCursor) -> String {
    let key = match &cursor.key {
        None => String::new(),
        Some(SortKey::Int(number)) => format!("n{number}"),
        Some(SortKey::Text(text)) => format!("t{text}"),
    };
    URL_SAFE_NO_PAD.encode(format!("{key}\0{}", cursor.node_id))
}

fn decode_cursor(text: &str, order: NodeOrder) -> Option<NodeCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (key, node_id) = text.rsplit_once('\0')?;
    let key = match order {
        NodeOrder::Id if key.is_empty() => None,
        NodeOrder::Id => return None,
        NodeOrder::Region => Some(SortKey::Text(key.strip_prefix('t')?.to_owned())),
        NodeOrder::Status | NodeOrder::P95 | NodeOrder::LastHeartbeat => {
            Some(SortKey::Int(key.strip_prefix('n')?.parse().ok()?))
        }
    };
    Some(NodeCursor {
        key,
        node_id: node_id.to_owned(),
    })
}

impl App {
    /// What is known of a node in memory.
    fn presence_of(&self, node_id: &str) -> Option<NodePresence> {
        let node_id = NodeId::parse(node_id).ok()?;
        self.presence.get(&node_id)
    }

    fn now<'p>(&self, presence: Option<&'p NodePresence>) -> Now<'p> {
        Now {
            presence,
            now_ms: self.clock.now_ms(),
            late_after_ms: i64::try_from(self.settings.late_after.as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn node_row(&self, scope: &Scope, row: &NodeListRow) -> NodeRow {
        let presence = self.presence_of(&row.node_id);
        NodeRow::of_row(scope, row, self.now(presence.as_ref()))
    }

    /// A page of nodes in sight: those in scope whole, and others' trimmed.
    ///
    /// # Errors
    /// [`QueryError::Cursor`] or [`QueryError::Store`].
    pub async fn nodes_page(
        &self,
        scope: &Scope,
        query: NodeQuery,
    ) -> Result<Page<NodeRow>, QueryError> {
        let after = match query.cursor.as_deref() {
            None => None,
            Some(cursor) => Some(decode_cursor(cursor, query.order).ok_or(QueryError::Cursor)?),
        };
        let filter = NodeFilter {
            org_id: query.owner_org_id,
            statuses: query.statuses,
            region: query.region,
            runtime: query.runtime,
            model_id: query.model,
            id_part: query.q,
            assigned: query.assigned,
            pool_id: query.pool_id,
        };
        let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let page = NodePage {
            order: query.order,
            falling: query.falling,
            after,
            // One more tells whether there is a next page.
            limit: limit + 1,
        };
        let mut rows = self.store.nodes_list(scope, &filter, &page).await?;
        let total = self.store.nodes_count(scope, &filter).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|row| encode_cursor(&page.cursor_after(row)));
        Ok(Page {
            items: rows.iter().map(|row| self.node_row(scope, row)).collect(),
            next_cursor,
            total: Some(total),
        })
    }

    /// One row of the list with the org that it belongs to, if it is in sight; trimmed where it is not in scope.
    ///
    /// # Errors
    /// [`QueryError::Store`].
    pub async fn node_row_with_org(
        &self,
        scope: &Scope,
        node_id: &NodeId,
    ) -> Result<Option<(NodeRow, Option<String>)>, QueryError> {
        let row = self.store.node_list_row(scope, node_id.as_str()).await?;
        Ok(row.map(|row| (self.node_row(scope, &row), row.org_id)))
    }

    /// One node, trimmed where it is not in scope; `None` when there is none in sight.
    ///
    /// # Errors
    /// [`QueryError::Store`].
    pub async fn node_detail(
        &self,
        scope: &Scope,
        node_id: &str,
    ) -> Result<Option<NodeDetail>, QueryError> {
        let Some(stored) = self.store.node_detail(scope, node_id).await? else {
            return Ok(None);
        };
        let filter = ReceiptFilter {
            node_id: Some(node_id.to_owned()),
            ..ReceiptFilter::default()
        };
        let receipts = self
            .store
            .receipts_list(scope, &filter, None, RECEIPTS_SHOWN)
            .await?;
        let assignees = self.store.node_assignees(scope, &[node_id]).await?;
        let presence = self.presence_of(node_id);
        let receipts = receipts.into_iter().map(ReceiptRow::of_row).collect();
        let now = self.now(presence.as_ref());
        Ok(Some(NodeDetail::of(
            scope, stored, receipts, assignees, now,
        )))
    }

    /// Whether a node exists that is not in sight, in a private pool that lets everybody know that.
    ///
    /// # Errors
    /// [`QueryError::Store`].
    pub async fn node_is_restricted(
        &self,
        scope: &Scope,
        node_id: &str,
    ) -> Result<bool, QueryError> {
        let what = InPool::Node(node_id);
        Ok(self.store.pool_restricts(scope, what).await?)
    }

    /// Every key that a node in sight ever had; `None` when there is no such node. Whoever has a receipt can verify it.
    ///
    /// # Errors
    /// [`QueryError::Store`].
    pub async fn node_keys(
        &self,
        scope: &Scope,
        node_id: &NodeId,
    ) -> Result<Option<NodeKeys>, QueryError> {
        let keys = self.store.node_keys(scope, node_id).await?;
        Ok((!keys.is_empty()).then(|| NodeKeys {
            node_id: node_id.to_string(),
            items: keys.iter().map(NodeKeyView::of).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_and_only_for_its_order() {
        let cursors = [
            (NodeOrder::Id, None),
            (NodeOrder::P95, Some(SortKey::Int(-1))),
            (NodeOrder::Region, Some(SortKey::Text("eu-west".into()))),
        ];
        for (order, key) in cursors {
            let cursor = NodeCursor {
                key,
                node_id: "node-1".into(),
            };
            let text = encode_cursor(&cursor);
            assert_eq!(decode_cursor(&text, order), Some(cursor));
            for other in [NodeOrder::Id, NodeOrder::P95, NodeOrder::Region] {
                assert_eq!(
                    decode_cursor(&text, other).is_some(),
                    other == order,
                    "{other:?}"
                );
            }
        }
        assert_eq!(decode_cursor("%", NodeOrder::Id), None);
        assert_eq!(decode_cursor("", NodeOrder::Id), None);
    }
}
