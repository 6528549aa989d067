//! Which work orders are taken up: checked against the live keys, this node's name, the control plane's clock, and the
//! orders that came before. Pure: keys and time are arguments.
//!
//! What must be remembered is bounded by time and by number. An order that is past its `start_by_ms` is refused for
//! that, so it need not be remembered any longer; where the memory is full, new orders are refused, and none is
//! forgotten early. The clock is the control plane's as the link learnt it, and may go back from one session to the
//! next: an order that begins no later than one that was forgotten counts as expired whatever the clock says.

use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::limits::{ORDER_FINISH_AHEAD, ORDER_START_AHEAD, ORDERS_REMEMBERED};
use dgon_protocol::order::{OrderKeys, SignedOrder};
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::relay::{CancelReason, OpenStream};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Why an order is not taken up. Nothing of it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefused {
    /// It is none.
    #[error("the work order is malformed: {0}")]
    Malformed(String),
    /// Its key is not one that the control plane has named, or not in its time.
    #[error(
        "the work order is signed with a key that the control plane has not named to this node, or not for now"
    )]
    UnknownKey,
    /// Its signature does not hold.
    #[error("the signature of the work order does not hold")]
    BadSignature,
    /// It is for somebody else.
    #[error("the work order is for another node")]
    Foreign,
    /// It comes too late.
    #[error("the time by which the work should have begun has passed")]
    Expired,
    /// Its times are further ahead than orders are remembered.
    #[error(
        "the work order's start_by_ms is over 120 s ahead, or its finish_by_ms over 24 hours; this node remembers no \
         order for that long"
    )]
    TooFar,
    /// It came before.
    #[error("this work order, or another of its request id, came before")]
    Replayed,
    /// As many orders as can be are remembered.
    #[error("this node remembers as many work orders as it can; try again in a minute")]
    Full,
    /// The content key is not the one that the order names.
    #[error("the content key is not the one of the work order")]
    ContentKey,
}

impl OrderRefused {
    /// The word for it on the wire.
    pub const fn reason(&self) -> CancelReason {
        match self {
            Self::Malformed(_) => CancelReason::OrderMalformed,
            Self::UnknownKey => CancelReason::OrderUnknownKey,
            Self::BadSignature => CancelReason::OrderBadSignature,
            Self::Foreign => CancelReason::OrderForeign,
            Self::Expired => CancelReason::OrderExpired,
            Self::TooFar => CancelReason::OrderTooFar,
            Self::Replayed => CancelReason::OrderReplayed,
            Self::Full => CancelReason::Busy,
            Self::ContentKey => CancelReason::ContentKeyMismatch,
        }
    }
}

/// What an order is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The live order keys, as the control plane has proven them.
    pub keys: &'a OrderKeys,
    /// This node.
    pub node_id: &'a NodeId,
    /// Now, by the control plane's clock, unix ms.
    pub now_ms: i64,
}

/// The orders that were taken up and could still be played again. One for the whole agent: a session that ends forgets
/// none.
#[derive(Debug)]
pub struct OrderGate {
    request_ids: HashSet<RequestId>,
    order_hashes: HashSet<Sha256Hash>,
    /// The same, by the time until which each is good, unix ms.
    by_time: BTreeMap<i64, Vec<(RequestId, Sha256Hash)>>,
    /// The latest `start_by_ms` of any order that was forgotten.
    forgotten_ms: i64,
    /// Most that are remembered.
    most: usize,
}

impl Default for OrderGate {
    fn default() -> Self {
        Self::remembering(ORDERS_REMEMBERED)
    }
}

impl OrderGate {
    /// A gate that remembers at most so many orders.
    pub fn remembering(most: usize) -> Self {
        Self {
            request_ids: HashSet::new(),
            order_hashes: HashSet::new(),
            by_time: BTreeMap::new(),
            forgotten_ms: i64::MIN,
            most,
        }
    }

    /// Takes an order up, once.
    ///
    /// # Errors
    /// [`OrderRefused`] with the first thing that is wrong.
    pub fn admit(
        &mut self,
        open: &OpenStream,
        standing: Standing<'_>,
    ) -> Result<SignedOrder, OrderRefused> {
        let signed = open
            .order()
            .map_err(|error| OrderRefused::Malformed(crate::error::chain(&error)))?;
        let key = standing.keys.live(signed.kid(), standing.now_ms);
        let key = key.ok_or(OrderRefused::UnknownKey)?;
        if !signed.verify(&key.public_key) {
            return Err(OrderRefused::BadSignature);
        }
        let order = &signed.order;
        if order.node_id != *standing.node_id {
            return Err(OrderRefused::Foreign);
        }
        self.forget_before(standing.now_ms);
        if order.start_by_ms < standing.now_ms || order.start_by_ms <= self.forgotten_ms {
            return Err(OrderRefused::Expired);
        }
        let is_near = |by_ms: i64, most: Duration| {
            by_ms.saturating_sub(standing.now_ms) <= i64::try_from(most.as_millis()).unwrap_or(0)
        };
        if !is_near(order.start_by_ms, ORDER_START_AHEAD)
            || !is_near(order.finish_by_ms, ORDER_FINISH_AHEAD)
        {
            return Err(OrderRefused::TooFar);
        }
        let order_hash = signed.order_hash();
        if self.request_ids.contains(&order.request_id) || self.order_hashes.contains(&order_hash) {
            return Err(OrderRefused::Replayed);
        }
        if self.len() >= self.most {
            return Err(OrderRefused::Full);
        }
        if order.content_key_hash != open.content_key.hash() {
            return Err(OrderRefused::ContentKey);
        }
        self.remember(&order.request_id, order_hash, order.start_by_ms);
        Ok(signed)
    }

    /// Orders that are remembered.
    pub fn len(&self) -> usize {
        self.request_ids.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.request_ids.is_empty()
    }

    fn remember(&mut self, request_id: &RequestId, order_hash: Sha256Hash, until_ms: i64) {
        self.request_ids.insert(request_id.clone());
        self.order_hashes.insert(order_hash);
        let of_time = self.by_time.entry(until_ms).or_default();
        of_time.push((request_id.clone(), order_hash));
    }

    fn forget_before(&mut self, now_ms: i64) {
        let still_good = self.by_time.split_off(&now_ms);
        let past = std::mem::replace(&mut self.by_time, still_good);
        for (until_ms, orders) in past {
            self.forgotten_ms = self.forgotten_ms.max(until_ms);
            for (request_id, order_hash) in orders {
                self.request_ids.remove(&request_id);
                self.order_hashes.remove(&order_hash);
            }
        }
        if self.request_ids.is_empty() {
            // What a busy hour took is given back.
            self.request_ids = HashSet::new();
            self.order_hashes = HashSet::new();
        }
    }
}
