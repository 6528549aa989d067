//! What an agent looks at before its runtime hears of an order, in the order in which it does.

use dgon_protocol::id::NodeId;
use dgon_protocol::id::RequestId;
use dgon_protocol::limits::{ORDER_FINISH_AHEAD, ORDER_START_AHEAD, ORDERS_REMEMBERED};
use dgon_protocol::order::{OrderKeys, SignedOrder};
use dgon_protocol::relay::{CancelReason, OpenStream};
use std::collections::HashSet;
use std::time::Duration;

/// The orders that came, so that none is served twice.
#[derive(Debug, Default)]
pub struct Seen(HashSet<RequestId>);

/// The order of a stream, if it is one that this node would work under at `now_ms`, unix ms.
///
/// # Errors
/// Why it is refused.
pub fn check(
    open: &OpenStream,
    (node_id, keys, seen): (&NodeId, &OrderKeys, &mut Seen),
    now_ms: i64,
) -> Result<SignedOrder, CancelReason> {
    let signed = open.order().map_err(|_| CancelReason::OrderMalformed)?;
    let key = keys.live(signed.kid(), now_ms);
    let key = key.ok_or(CancelReason::OrderUnknownKey)?;
    if !signed.verify(&key.public_key) {
        return Err(CancelReason::OrderBadSignature);
    }
    let order = &signed.order;
    if order.node_id != *node_id {
        return Err(CancelReason::OrderForeign);
    }
    if order.start_by_ms < now_ms {
        return Err(CancelReason::OrderExpired);
    }
    let ahead = |duration: Duration| {
        now_ms.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    };
    if order.start_by_ms > ahead(ORDER_START_AHEAD)
        || order.finish_by_ms > ahead(ORDER_FINISH_AHEAD)
    {
        return Err(CancelReason::OrderTooFar);
    }
    if seen.0.len() >= ORDERS_REMEMBERED {
        return Err(CancelReason::Busy);
    }
    if !seen.0.insert(order.request_id.clone()) {
        return Err(CancelReason::OrderReplayed);
    }
    if open.content_key.hash() != order.content_key_hash {
        return Err(CancelReason::ContentKeyMismatch);
    }
    Ok(signed)
}
