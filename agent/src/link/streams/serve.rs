//! One stream, from its order to the end of its answer.

use super::Shared;
use super::answer::Answer;
use crate::proxy::relay::{Relayed, RelayedRequest};
use bytes::Bytes;
use dgon_agent_dataplane::admission::BodyShare;
use dgon_protocol::order::SignedOrder;
use dgon_protocol::relay::{AnswerEnd, CancelReason, Cancelled, Kind, OpenStream};
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// What the end frame has in place of a failure where the receipt says `cancelled`.
const CANCELLED: &str = "cancelled";

/// The body of a request, and the memory that it takes.
pub(super) type WholeBody = (Bytes, BodyShare);

/// A request under an order that was taken up. Its body has still to come.
pub(super) struct Accepted {
    pub(super) open: OpenStream,
    pub(super) order: SignedOrder,
    pub(super) coming: oneshot::Receiver<WholeBody>,
    pub(super) cancelled: CancellationToken,
    pub(super) answer: Answer,
}

impl Accepted {
    /// Waits for the body, has the request served, and says how it ended.
    pub(super) async fn serve(self, shared: Arc<Shared>) {
        let Self {
            open,
            order,
            coming,
            cancelled,
            answer,
        } = self;
        let mut last = answer.clone();
        let session = &shared.session;
        let whole = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(Relayed::Unwanted { seq: None }),
            // What was given up has told its reason.
            whole = coming => whole.map_err(|_| Relayed::Unwanted { seq: None }),
            () = tokio::time::sleep(session.until(order.order.start_by_ms)) => {
                let message = "the body did not come before the time by which the work should have begun";
                Err(Relayed::Refused(Cancelled::new(CancelReason::OrderExpired, message)))
            }
        };
        let relayed = match whole {
            Ok((body, share)) => {
                let within = session.until(order.order.finish_by_ms);
                let request = RelayedRequest {
                    order,
                    content_key: open.content_key,
                    path: open.path,
                    content_type: open.content_type,
                    body,
                    share,
                    within,
                };
                session.parts.proxy.relay(request, answer, cancelled).await
            }
            Err(relayed) => relayed,
        };
        if !shared.forget(last.stream_id) {
            return;
        }
        let (kind, payload) = match relayed {
            Relayed::Refused(why) | Relayed::GivenUp(why) => (Kind::Cancel, why.encode()),
            Relayed::Answered { seq, failure } => {
                let failure = failure.map(|failure| failure.as_str().to_owned());
                (Kind::End, end(&shared, Some(seq), failure).await)
            }
            Relayed::Unwanted { seq } => {
                let failure = Some(CANCELLED.to_owned());
                (Kind::End, end(&shared, seq, failure).await)
            }
        };
        // The session may be over meanwhile, and then nobody waits for this. Neither payload can be too large.
        drop(last.send(kind, &payload.unwrap_or_default()).await);
    }
}

/// The payload of the last frame, with the very bytes of the receipt that the link sends too; without, where they do not fit.
async fn end(
    shared: &Shared,
    seq: Option<u64>,
    failure: Option<String>,
) -> Result<Vec<u8>, dgon_protocol::relay::PayloadError> {
    let entry_bytes = match seq {
        Some(seq) => shared.session.parts.receipts.entry(seq).await,
        None => None,
    };
    let receipt = entry_bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| RawValue::from_string(text).ok());
    let mut end = AnswerEnd { receipt, failure };
    match end.encode() {
        Ok(payload) => Ok(payload),
        Err(_) => {
            end.receipt = None;
            end.encode()
        }
    }
}
