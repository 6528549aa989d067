//! Streams of one session: requests of consumers that the control plane relays, each under a work order.
//!
//! | module | owns |
//! |---|---|
//! | `request_body` | the body of a request while it comes |
//! | `credit` | credit for the body of an answer |
//! | `answer` | an answer on its way into the session |
//! | `serve` | one stream, from its order to the end of its answer |
//! | this one | frames: whose they are, and what they may do |
//!
//! What must be known before a runtime hears of a request is looked at here and in `serve`; the work itself is done on the
//! proxy's threads. A stream whose reader gives no credit waits alone, and its runtime with it. When the session ends, so
//! do its streams, at once.

mod answer;
mod credit;
mod request_body;
mod serve;

use super::log::LinkLog;
use super::session::{Outbox, Turn};
use super::{Parts, now_ms};
use answer::Answer;
use credit::Credit;
use dgon_agent_core::error::chain;
use dgon_agent_core::order_gate::Standing;
use dgon_protocol::frame::SealedKeys;
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::RELAY_STREAMS;
use dgon_protocol::order::{OrderKeys, WorkOrder};
use dgon_protocol::relay::{CancelReason, Cancelled, Kind, OpenStream, RelayError, RelayFrame};
use request_body::RequestBody;
use serve::{Accepted, WholeBody};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A frame that no control plane sends: the session ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamFault {
    #[error("the control plane sent a binary frame that cannot be read")]
    Unreadable(#[source] RelayError),
    #[error("the control plane sent a frame that only an agent sends")]
    NotItsOwn,
    #[error("the control plane sent a frame for stream {0}, which it never opened")]
    NeverOpened(u32),
    #[error("the control plane opened stream {0}, whose id is not above all before it")]
    UsedId(u32),
    #[error("the control plane does not read what becomes of its streams")]
    Unread,
}

/// What a frame was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// A stream was to be opened.
    Open,
    /// Some body of a request, within its credit.
    Body,
    /// Something else of a stream that stands.
    Other,
    /// Something of a stream that is over.
    Late,
}

/// What the session knows of its peer and itself.
pub(super) struct Session {
    pub(super) parts: Parts,
    pub(super) outbox: Outbox,
    pub(super) log: Arc<LinkLog>,
    pub(super) node_id: NodeId,
    pub(super) session_id: String,
    /// Whether the owner lets the gateway's requests in.
    pub(super) is_allowed: bool,
    /// This machine's clock less the control plane's, ms.
    pub(super) clock_ahead_ms: i64,
    /// The node's secret.
    pub(super) secret: Arc<[u8]>,
}

/// The streams of one session. Dropping it ends them.
pub(super) struct Streams {
    shared: Arc<Shared>,
    keys: OrderKeys,
    last_id: u32,
    _end: DropGuard,
}

struct Shared {
    session: Session,
    open: Mutex<HashMap<u32, Stream>>,
    /// Cancelled when the session is over.
    end: CancellationToken,
}

/// A stream that this side has not ended.
struct Stream {
    /// Present until the request is whole.
    incoming: Option<Incoming>,
    credit: Arc<Credit>,
    cancelled: CancellationToken,
}

struct Incoming {
    body: RequestBody,
    order: WorkOrder,
    whole: oneshot::Sender<WholeBody>,
}

impl Streams {
    pub(super) fn new(session: Session, keys: OrderKeys) -> Self {
        let end = CancellationToken::new();
        Self {
            shared: Arc::new(Shared {
                session,
                open: Mutex::default(),
                end: end.clone(),
            }),
            keys,
            last_id: 0,
            _end: end.drop_guard(),
        }
    }

    /// Another set of live order keys, if it is proven.
    pub(super) fn keys(&mut self, sealed: &SealedKeys) {
        let session = &self.shared.session;
        match sealed.open(&session.secret, &session.session_id) {
            Ok(keys) => self.keys = keys,
            Err(error) => {
                if session.log.may_tell() {
                    tracing::warn!(reason = %chain(&error), "a set of order keys is not believed; the one before stays");
                }
            }
        }
    }

    /// Takes a binary frame. Waits for nothing.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Taken, StreamFault> {
        let frame = RelayFrame::decode(bytes).map_err(StreamFault::Unreadable)?;
        let id = frame.stream_id;
        match frame.kind {
            Kind::Open => {
                if id <= self.last_id {
                    return Err(StreamFault::UsedId(id));
                }
                self.last_id = id;
                if let Err(refused) = self.open(id, frame.payload) {
                    self.shared.send_cancel(id, &refused)?;
                }
                return Ok(Taken::Open);
            }
            Kind::Headers => return Err(StreamFault::NotItsOwn),
            Kind::Body | Kind::End | Kind::Cancel | Kind::Window => {}
        }
        if id == 0 || id > self.last_id {
            return Err(StreamFault::NeverOpened(id));
        }
        let handled = match self.shared.lock().get_mut(&id) {
            Some(stream) if !stream.cancelled.is_cancelled() => stream.take(&frame),
            _ => return Ok(Taken::Late),
        };
        match handled {
            Ok(Some(credit)) => self.shared.send_window(id, credit)?,
            Ok(None) => {}
            Err(why) => {
                self.shared.forget(id);
                self.shared.send_cancel(id, &why)?;
            }
        }
        Ok(if frame.kind == Kind::Body {
            Taken::Body
        } else {
            Taken::Other
        })
    }

    /// Takes a request up, or says why not.
    fn open(&mut self, id: u32, payload: &[u8]) -> Result<(), Cancelled> {
        let session = &self.shared.session;
        if !session.is_allowed {
            let message = "the owner of this node does not allow the gateway's requests";
            return Err(Cancelled::new(CancelReason::NotAllowed, message));
        }
        let proxy = &session.parts.proxy;
        proxy.would_relay()?;
        if self.shared.lock().len() >= RELAY_STREAMS {
            let message = "the session has as many streams as it may have";
            return Err(Cancelled::new(CancelReason::Busy, message));
        }
        let open = OpenStream::decode(payload)
            .map_err(|error| Cancelled::new(CancelReason::ProtocolError, &chain(&error)))?;
        let standing = Standing {
            keys: &self.keys,
            node_id: &session.node_id,
            now_ms: session.control_plane_now_ms(),
        };
        let admitted = lock(&session.parts.orders).admit(&open, standing);
        let order =
            admitted.map_err(|refused| Cancelled::new(refused.reason(), &refused.to_string()))?;
        if open.body_bytes > proxy.max_body_bytes() as u64 {
            let message = "the body is larger than the owner of this node has requests be";
            return Err(Cancelled::new(CancelReason::BodyTooLarge, message));
        }
        let share = proxy.admission().body_share();
        let mut body = RequestBody::new(&open.content_key, open.body_bytes, share);
        if let Some(credit) = body.first_credit() {
            // One that finds no room is a fault of the session, which the next frame of it leads to.
            drop(self.shared.send_window(id, credit));
        }
        let (whole, coming) = oneshot::channel();
        let stream = Stream {
            incoming: Some(Incoming {
                body,
                order: order.order.clone(),
                whole,
            }),
            credit: Arc::default(),
            cancelled: self.shared.end.child_token(),
        };
        let accepted = Accepted {
            open,
            order,
            coming,
            cancelled: stream.cancelled.clone(),
            answer: Answer {
                stream_id: id,
                credit: Arc::clone(&stream.credit),
                turn: Turn::new(),
                outbox: session.outbox.clone(),
            },
        };
        self.shared.lock().insert(id, stream);
        tokio::spawn(accepted.serve(Arc::clone(&self.shared)));
        Ok(())
    }
}

impl Stream {
    /// Takes a frame of the control plane. Yields the credit to give for it.
    fn take(&mut self, frame: &RelayFrame<'_>) -> Result<Option<u32>, Cancelled> {
        match frame.kind {
            Kind::Window => {
                let added = self.credit.add(frame.credit().unwrap_or_default());
                added.map_err(|error| protocol_error(&error.to_string()))?;
            }
            Kind::Cancel => {
                self.incoming = None;
                self.cancelled.cancel();
            }
            Kind::Body => match &mut self.incoming {
                Some(incoming) => return incoming.body.take(frame.payload),
                None => return Err(protocol_error("a body goes on after its end")),
            },
            Kind::End if !frame.payload.is_empty() => {
                return Err(protocol_error("the end of a request carries nothing"));
            }
            Kind::End => match self.incoming.take() {
                Some(Incoming { body, order, whole }) => {
                    // Whoever waits for it may just have found that it comes too late.
                    drop(whole.send(body.finish(&order)?));
                }
                None => return Err(protocol_error("a request ends once")),
            },
            // The session has seen to these.
            Kind::Open | Kind::Headers => {}
        }
        Ok(None)
    }
}

impl Session {
    /// Now on the control plane's clock, unix ms.
    fn control_plane_now_ms(&self) -> i64 {
        let now = i64::try_from(now_ms()).unwrap_or(i64::MAX);
        now.saturating_sub(self.clock_ahead_ms)
    }

    /// How long it is until then.
    fn until(&self, by_ms: i64) -> Duration {
        let left = by_ms.saturating_sub(self.control_plane_now_ms());
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Stream>> {
        lock(&self.open)
    }

    /// This side has ended the stream: its work is cancelled, where it goes on. `false` where it was ended before, or the
    /// session is over: then nothing more is to be said of it.
    fn forget(&self, id: u32) -> bool {
        let stream = self.lock().remove(&id);
        if let Some(stream) = &stream {
            stream.cancelled.cancel();
        }
        stream.is_some() && !self.end.is_cancelled()
    }

    fn send_cancel(&self, stream_id: u32, why: &Cancelled) -> Result<(), StreamFault> {
        self.send_urgent(stream_id, Kind::Cancel, &why.encode().unwrap_or_default())
    }

    fn send_window(&self, stream_id: u32, credit: u32) -> Result<(), StreamFault> {
        self.send_urgent(stream_id, Kind::Window, &credit.to_be_bytes())
    }

    fn send_urgent(&self, stream_id: u32, kind: Kind, payload: &[u8]) -> Result<(), StreamFault> {
        let frame = RelayFrame {
            kind,
            stream_id,
            payload,
        };
        let is_sent = frame
            .encode()
            .is_ok_and(|frame| self.session.outbox.urgent(frame));
        if is_sent {
            Ok(())
        } else {
            Err(StreamFault::Unread)
        }
    }
}

fn protocol_error(message: &str) -> Cancelled {
    Cancelled::new(CancelReason::ProtocolError, message)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
