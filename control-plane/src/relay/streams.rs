//! The streams of one session: which are open, what each frame of the node belongs to, and whose turn it is to send.
//!
//! A session that has no stream holds a few numbers here; the tables are made with its first stream, and given back with its
//! last. What steers a stream (`open`, `window`, `cancel`) is sent before bodies, and bodies in turn, a frame of each. Nothing
//! piles up behind a socket that takes nothing: a stream that is given up before it was sent leaves nothing to send.

use super::answer::Ended;
use super::outgoing::{Outgoing, Step};
use super::room::Room;
use super::stream::Stream;
use super::{Lost, OpenError, Request};
use dgon_protocol::limits::{RELAY_INITIAL_CREDIT, RELAY_STREAMS};
use dgon_protocol::relay::{CancelReason, Cancelled, Kind, RelayError, RelayFrame};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a stream may hold beside its body: the head of the request, which is an order and little else, and a window of the
/// answer.
const STREAM_BYTES: usize = 16 * 1024 + RELAY_INITIAL_CREDIT as usize;

/// What the node did that no agent does. The session closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are no frame.
    #[error("{0}")]
    Frame(RelayError),
    /// Nobody has opened this stream.
    #[error("no relay stream {0} was opened")]
    NeverOpened(u32),
    /// Only the control plane opens streams.
    #[error("an agent opens no relay streams")]
    Opens,
}

/// The streams of one session.
#[derive(Debug, Default)]
pub struct Streams {
    inner: Mutex<Inner>,
    /// Rung when there is something to send.
    more: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// The last id that was given away.
    last: u32,
    /// The last id that the node was told of.
    told: u32,
    is_over: bool,
    table: Option<Box<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<u32, Outgoing>,
    steering: VecDeque<Steering>,
    /// Streams that have some of their body to send, and the credit for it.
    turns: VecDeque<u32>,
}

#[derive(Debug)]
enum Steering {
    Open(u32),
    Window(u32),
    Cancel(u32, Cancelled),
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(self: &Arc<Self>, request: &Request<'_>, room: &Room) -> Result<Stream, OpenError> {
        let head = request.head()?;
        let window = room.take(STREAM_BYTES).map_err(|_| OpenError::NoRoom)?;
        let body = room.take(request.body.len());
        let body = body.map_err(|_| OpenError::NoRoom)?;
        let mut inner = self.lock();
        if inner.is_over {
            return Err(OpenError::NoSession);
        }
        if inner.count() >= RELAY_STREAMS {
            return Err(OpenError::Full);
        }
        let id = inner.last.checked_add(1).ok_or(OpenError::Spent)?;
        inner.last = id;
        let stream = Outgoing::new(head, request.body.clone(), body);
        let answer = Arc::clone(&stream.answer);
        let table = inner.table.get_or_insert_default();
        table.open.insert(id, stream);
        table.steering.push_back(Steering::Open(id));
        drop(inner);
        self.more.notify_one();
        Ok(Stream::new(Arc::clone(self), id, answer, window))
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().count()
    }

    /// Whether it holds tables, as it does while there are streams.
    #[cfg(test)]
    pub(super) fn holds_tables(&self) -> bool {
        self.lock().table.is_some()
    }

    /// The session is over, and its streams with it: whoever reads them knows at once. Whatever comes later changes nothing.
    pub fn lose(&self, why: Lost) {
        let mut inner = self.lock();
        inner.is_over = true;
        let table = inner.table.take();
        drop(inner);
        for stream in table.iter().flat_map(|table| table.open.values()) {
            stream.answer.end(Ended::Lost(why));
        }
    }

    /// Takes a frame of the node; how many streams are open after it. One for a stream that is over is counted and nothing
    /// else: it was on its way when that ended.
    ///
    /// # Errors
    /// [`Fault`]: the session must close.
    pub fn receive(&self, bytes: &[u8]) -> Result<usize, Fault> {
        let frame = RelayFrame::decode(bytes).map_err(Fault::Frame)?;
        if frame.kind == Kind::Open {
            return Err(Fault::Opens);
        }
        let id = frame.stream_id;
        let mut inner = self.lock();
        if id == 0 || id > inner.told {
            return Err(Fault::NeverOpened(id));
        }
        let step = inner.table.as_mut().and_then(|table| {
            let stream = table.open.get_mut(&id)?;
            let step = stream.receive(&frame);
            Some((table, step))
        });
        let Some((table, step)) = step else {
            metrics::counter!("relay_late_frames_total").increment(1);
            return Ok(inner.count());
        };
        let is_more = match step {
            Step::On => table.take_turn(id),
            Step::Over(ended) => table.close(id, ended),
            Step::Broken(rule) => table.break_off(id, &rule),
        };
        if is_more {
            self.more.notify_one();
        }
        inner.give_back();
        Ok(inner.count())
    }

    /// The next frame to send, now or when there is one. Cancel-safe.
    pub async fn next(&self) -> Vec<u8> {
        loop {
            if let Some(frame) = self.take() {
                return frame;
            }
            self.more.notified().await;
        }
    }

    fn take(&self) -> Option<Vec<u8>> {
        let mut inner = self.lock();
        let frame = loop {
            let Inner { told, table, .. } = &mut *inner;
            let table = table.as_mut()?;
            let frame = match table.steering.pop_front() {
                Some(steering) => table.steer(steering, told),
                None => match table.turns.pop_front() {
                    Some(id) => table.send(id),
                    None => break None,
                },
            };
            if frame.is_some() {
                break frame;
            }
        };
        inner.give_back();
        frame
    }

    /// Lets the node send so much more.
    pub(super) fn give(&self, id: u32, credit: u32) {
        let mut inner = self.lock();
        let Some(table) = inner.table.as_mut() else {
            return;
        };
        let Some(stream) = table.open.get_mut(&id) else {
            return;
        };
        let is_queued = stream.owed > 0;
        stream.owed = stream.owed.saturating_add(credit);
        if !is_queued {
            table.steering.push_back(Steering::Window(id));
            self.more.notify_one();
        }
    }

    /// Gives a stream up. One that the node was never told of leaves no frame.
    pub(super) fn cancel(&self, id: u32, why: Cancelled) {
        let mut inner = self.lock();
        let Some(table) = inner.table.as_mut() else {
            return;
        };
        let Some(stream) = table.open.remove(&id) else {
            return;
        };
        count_cancelled("control_plane", why.reason);
        if stream.head.is_some() {
            let is_its = |steering: &Steering| matches!(steering, Steering::Open(of) if *of == id);
            table.steering.retain(|steering| !is_its(steering));
        } else {
            table.steering.push_back(Steering::Cancel(id, why));
            self.more.notify_one();
        }
        inner.give_back();
    }
}

impl Inner {
    fn count(&self) -> usize {
        self.table.as_ref().map_or(0, |table| table.open.len())
    }

    /// Gives the tables back when nothing is in them.
    fn give_back(&mut self) {
        let is_idle = |table: &Table| table.open.is_empty() && table.steering.is_empty();
        if self.table.as_deref().is_some_and(is_idle) {
            self.table = None;
        }
    }
}

impl Table {
    /// Puts a stream among those that send some of their body, where it can and is not there; whether it did.
    fn take_turn(&mut self, id: u32) -> bool {
        let Some(stream) = self.open.get_mut(&id) else {
            return false;
        };
        let takes = stream.can_send() && !stream.has_turn;
        if takes {
            stream.has_turn = true;
            self.turns.push_back(id);
        }
        takes
    }

    /// The node ended a stream; whether it must be told something.
    fn close(&mut self, id: u32, ended: Ended) -> bool {
        let Some(stream) = self.open.remove(&id) else {
            return false;
        };
        let mut is_more = false;
        if let Ended::Cancelled(why) = &ended {
            count_cancelled("node", why.reason);
            // Both sides end what they began: the rest of this request will not come.
            if !stream.is_whole {
                let why = Cancelled::new(why.reason, "");
                self.steering.push_back(Steering::Cancel(id, why));
                is_more = true;
            }
        }
        stream.answer.end(ended);
        is_more
    }

    /// The node broke a rule: the stream ends for both.
    fn break_off(&mut self, id: u32, rule: &str) -> bool {
        let Some(stream) = self.open.remove(&id) else {
            return false;
        };
        count_cancelled("control_plane", CancelReason::ProtocolError);
        let why = Cancelled::new(CancelReason::ProtocolError, rule);
        self.steering.push_back(Steering::Cancel(id, why.clone()));
        stream.answer.end(Ended::Cancelled(why));
        true
    }

    /// A frame that steers; `None` where its stream is over.
    fn steer(&mut self, steering: Steering, told: &mut u32) -> Option<Vec<u8>> {
        let (kind, stream_id, payload) = match steering {
            Steering::Open(id) => {
                let head = self.open.get_mut(&id)?.head.take()?;
                *told = id;
                self.take_turn(id);
                (Kind::Open, id, head)
            }
            Steering::Window(id) => {
                let owed = std::mem::take(&mut self.open.get_mut(&id)?.owed);
                (Kind::Window, id, owed.to_be_bytes().to_vec())
            }
            Steering::Cancel(id, why) => (Kind::Cancel, id, why.encode().unwrap_or_default()),
        };
        let frame = RelayFrame {
            kind,
            stream_id,
            payload: &payload,
        };
        // What is sent was made to fit.
        frame.encode().ok()
    }

    /// The next frame of a body; `None` where its stream is over.
    fn send(&mut self, id: u32) -> Option<Vec<u8>> {
        let stream = self.open.get_mut(&id)?;
        stream.has_turn = false;
        let frame = stream.can_send().then(|| stream.send(id).ok())?;
        self.take_turn(id);
        frame
    }
}

fn count_cancelled(by: &'static str, reason: CancelReason) {
    metrics::counter!("relay_cancelled_total", "by" => by, "reason" => reason.as_str())
        .increment(1);
}
