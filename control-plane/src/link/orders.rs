//! The orders that wait for a node, brought to its session's writer.
//!
//! An order is marked as sent when it was written to the socket, and not before: one whose session ends in between is sent
//! once more by the next. Orders are such that twice is once.

use super::wire::End;
use crate::app::{App, Outbound, Queue};
use dgon_control_plane_store::node_orders::OrderRow;
use dgon_control_plane_store::{StoreError, System};
use dgon_protocol::frame::{Control, ToAgent};
use dgon_protocol::id::NodeId;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Pause after the orders could not be read or written.
const AGAIN: Duration = Duration::from_secs(5);

/// An order on its way to the writer, who says when it was written.
pub(super) type Order = (Outbound, oneshot::Sender<()>);

/// Brings what waits, now and whenever more does. Ends with its session.
pub(super) async fn bring(
    app: &App,
    node_id: &NodeId,
    more: &Notify,
    writer: &Queue<Order>,
) -> End {
    loop {
        // Most of the time nothing waits, and then nothing is held of how it was looked for.
        match Box::pin(bring_all(app, node_id, writer)).await {
            Ok(true) => more.notified().await,
            Ok(false) => return End::Gone,
            Err(error) => {
                tracing::warn!(
                    %node_id,
                    error = &error as &dyn std::error::Error,
                    "the orders of a node were not read or not marked as sent; it is tried again"
                );
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Brings what waits now; false where the writer is gone.
async fn bring_all(app: &App, node_id: &NodeId, writer: &Queue<Order>) -> Result<bool, StoreError> {
    let by = System::of_the_server();
    let waiting = app
        .store
        .node_orders_queued(by, node_id, app.clock.now_ms());
    for OrderRow { id, body, .. } in waiting.await? {
        let Ok(control) = serde_json::from_str::<Control>(&body) else {
            tracing::error!(%node_id, order = id, "an order of another version is left to expire");
            continue;
        };
        let (written, was_written) = oneshot::channel();
        let order = (Box::new(ToAgent::Control(control)), written);
        writer.push(order).await;
        if was_written.await.is_err() {
            return Ok(false);
        }
        app.store
            .node_order_sent(by, id, app.clock.now_ms())
            .await?;
    }
    Ok(true)
}
