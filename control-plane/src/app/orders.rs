//! What people ask nodes to do.
//!
//! An order is a row before anybody is told of it. The node's session reads the rows that wait when it opens and when it
//! is told of one; so a node that is away, or a server that is started anew, loses none. An order is sent when its bytes
//! were given to the connection: one that breaks at that moment may take it along.

use super::{App, Cause};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::node_orders::{NewOrder, OrderRow};
use dgon_control_plane_store::{Scope, StoreError};
use dgon_protocol::frame::Control;
use dgon_protocol::id::NodeId;
use std::time::Duration;

/// How long an order waits for its node: whoever gave it has looked away by then.
const WAITS: Duration = Duration::from_secs(600);

impl App {
    /// Asks a node to look again at its GPUs, runtimes and models; the order as it is kept. Where one waits already, it is
    /// that one; `None` where no such node is in the scope. A node does not say that it has looked: what is known is that
    /// it was told.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_refresh(
        &self,
        scope: &Scope,
        node_id: &NodeId,
        cause: Cause<'_>,
    ) -> Result<Option<OrderRow>, StoreError> {
        let at_ms = self.clock.now_ms();
        let audit = AuditEntry {
            at_ms,
            actor: cause.actor.to_owned(),
            action: "node.refresh".to_owned(),
            object: format!("node:{node_id}"),
            request_id: cause.request_id.map(str::to_owned),
            facts: cause.facts(),
        };
        // Our own types always serialise.
        let body = serde_json::to_string(&Control::Refresh).unwrap_or_default();
        let waits_ms = i64::try_from(WAITS.as_millis()).unwrap_or(i64::MAX);
        let order = NewOrder {
            node_id,
            kind: "refresh",
            body: &body,
            at_ms,
            expires_at_ms: at_ms.saturating_add(waits_ms),
            audit: &audit,
        };
        let order = self.store.node_order_add(scope, &order).await?;
        if order.is_some() {
            self.sessions.orders_wait(node_id);
        }
        Ok(order)
    }
}
