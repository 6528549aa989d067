//! The agent's side of relayed streams: serves what the control plane asks of a simulated node, as a real agent does.
//!
//! [`Serving`] knows no socket: frames of the control plane go in, frames to send come out, so a test can hold any of them
//! back, or send others beside them. [`Serving::step`] moves it over a [`SimLink`].

mod answer;
mod checks;
mod exchange;

pub use answer::Answer;
pub use checks::{Seen, check};

use super::SimError;
use super::agent::{SimAgent, SimReceipt, unix_now};
use super::link::{Event, SimLink};
use dgon_protocol::frame::{KeysError, SealedKeys, ToAgent, Welcome};
use dgon_protocol::order::{OrderKeys, WorkOrder};
use dgon_protocol::relay::{CancelReason, Cancelled, Kind, OpenStream, RelayFrame};
use exchange::{Done, Exchange};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Frames that are sent before it is looked whether something has come.
const AT_ONCE: usize = 16;

/// What the runtime answers to an order and a body.
pub type Runtime = fn(&WorkOrder, &[u8]) -> Answer;

/// The streams of one session of a simulated node.
pub struct Serving {
    session_id: String,
    /// The order keys that are live.
    pub keys: OrderKeys,
    seen: Seen,
    runtime: Runtime,
    open: BTreeMap<u32, Exchange>,
    /// What is sent before bodies.
    first: VecDeque<Vec<u8>>,
    /// Streams that have something to send, in turn.
    turns: VecDeque<u32>,
    /// Receipts that are not sent among the others yet.
    pub receipts: Vec<SimReceipt>,
    /// Streams that the control plane gave up, and why.
    pub given_up: Vec<(u32, Cancelled)>,
    /// Streams that this node refused, and why.
    pub refused: Vec<(u32, CancelReason)>,
    /// `keys` frames that were not believed.
    pub keys_not_believed: Vec<KeysError>,
}

impl Serving {
    /// Serves the session that this welcome began, with answers of words.
    pub fn new(welcome: &Welcome) -> Self {
        Self {
            session_id: welcome.session_id.clone(),
            keys: welcome.order_keys.clone(),
            seen: Seen::default(),
            runtime: Answer::of_words,
            open: BTreeMap::new(),
            first: VecDeque::new(),
            turns: VecDeque::new(),
            receipts: Vec::new(),
            given_up: Vec::new(),
            refused: Vec::new(),
            keys_not_believed: Vec::new(),
        }
    }

    /// The same with another runtime.
    #[must_use]
    pub fn with_runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// How many streams are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Takes a set of keys, if the control plane made it for this session; else the set stays as it was.
    pub fn take_keys(&mut self, agent: &SimAgent, sealed: &SealedKeys) {
        match sealed.open(&agent.secret, &self.session_id) {
            Ok(keys) => self.keys = keys,
            Err(error) => self.keys_not_believed.push(error),
        }
    }

    /// Takes a relay frame of the control plane at `now_ms`, unix ms on its clock.
    ///
    /// # Errors
    /// The control plane broke a rule of the relay.
    pub fn take(&mut self, agent: &SimAgent, bytes: &[u8], now_ms: i64) -> Result<(), SimError> {
        let frame = RelayFrame::decode(bytes).map_err(|_| SimError::Answer("no relay frame"))?;
        let id = frame.stream_id;
        match frame.kind {
            Kind::Open => return self.take_open(agent, &frame, now_ms),
            Kind::Cancel => {
                self.open.remove(&id);
                self.given_up.push((id, Cancelled::decode(frame.payload)));
            }
            Kind::Body | Kind::End | Kind::Window => {
                // One that this node has ended may have frames on their way.
                let Some(exchange) = self.open.get_mut(&id) else {
                    return Ok(());
                };
                let credit = frame.credit();
                match exchange.take(&frame, credit, self.runtime) {
                    Ok(Some(window)) => self.queue(Kind::Window, id, &window.to_be_bytes()),
                    Ok(None) => {}
                    Err(reason) => self.refuse(id, reason),
                }
                self.take_turn(id);
            }
            Kind::Headers => return Err(SimError::Answer("headers of an answer came here")),
        }
        Ok(())
    }

    fn take_open(
        &mut self,
        agent: &SimAgent,
        frame: &RelayFrame<'_>,
        now_ms: i64,
    ) -> Result<(), SimError> {
        let open = OpenStream::decode(frame.payload);
        let open = open.map_err(|_| SimError::Answer("an open frame is malformed"))?;
        let against = (&agent.node_id, &self.keys, &mut self.seen);
        match check(&open, against, now_ms) {
            Ok(order) => {
                let exchange = Exchange::new(order, open);
                self.open.insert(frame.stream_id, exchange);
            }
            Err(reason) => self.refuse(frame.stream_id, reason),
        }
        Ok(())
    }

    fn refuse(&mut self, id: u32, reason: CancelReason) {
        self.open.remove(&id);
        self.refused.push((id, reason));
        let payload = Cancelled::new(reason, "refused").encode();
        self.queue(Kind::Cancel, id, &payload.unwrap_or_default());
    }

    fn queue(&mut self, kind: Kind, stream_id: u32, payload: &[u8]) {
        self.first.extend(frame(kind, stream_id, payload));
    }

    fn take_turn(&mut self, id: u32) {
        let has_more = self.open.get(&id).is_some_and(Exchange::can_send);
        if has_more && !self.turns.contains(&id) {
            self.turns.push_back(id);
        }
    }

    /// The next frame to send; `None` where nothing can be sent now.
    ///
    /// # Errors
    /// The machine has no entropy.
    pub fn poll(&mut self, agent: &mut SimAgent) -> Result<Option<Vec<u8>>, SimError> {
        if let Some(first) = self.first.pop_front() {
            return Ok(Some(first));
        }
        while let Some(id) = self.turns.pop_front() {
            let Some(exchange) = self.open.get_mut(&id) else {
                continue;
            };
            let Some((kind, payload)) = exchange.send(agent)? else {
                continue;
            };
            if let Some(Done { receipt }) = exchange.done.take() {
                self.receipts.push(receipt);
                self.open.remove(&id);
            }
            self.take_turn(id);
            return Ok(frame(kind, id, &payload));
        }
        Ok(None)
    }

    /// Sends some of what there is to send, and takes what comes: relay frames and sets of keys; whatever came is told. `None`
    /// where nothing came while there is more to send.
    ///
    /// # Errors
    /// Nothing came in time, the link is gone, or the control plane broke a rule.
    pub async fn step(
        &mut self,
        agent: &mut SimAgent,
        link: &mut SimLink,
        within: Duration,
    ) -> Result<Option<Event>, SimError> {
        let mut wait = within;
        for sent in 0.. {
            let Some(frame) = self.poll(agent)? else {
                break;
            };
            link.send_binary(frame).await?;
            if sent == AT_ONCE {
                wait = Duration::ZERO;
                break;
            }
        }
        let event = match link.receive(wait).await {
            Err(SimError::Timeout) if wait.is_zero() => return Ok(None),
            event => event?,
        };
        match &event {
            Event::Binary(bytes) => {
                let now_ms = i64::try_from(unix_now().as_millis()).unwrap_or(i64::MAX);
                self.take(agent, bytes, now_ms)?;
            }
            Event::Frame(frame) => {
                if let ToAgent::Keys(sealed) = &**frame {
                    self.take_keys(agent, sealed);
                }
            }
            Event::Other | Event::Closed => {}
        }
        Ok(Some(event))
    }

    /// Serves until `done` says so, looking after each step.
    ///
    /// # Errors
    /// As [`Serving::step`]; the link closed.
    pub async fn until(
        &mut self,
        agent: &mut SimAgent,
        link: &mut SimLink,
        within: Duration,
        mut done: impl FnMut(&Self, Option<&Event>) -> bool,
    ) -> Result<(), SimError> {
        let serving = async {
            loop {
                let event = self.step(agent, link, within).await?;
                if done(self, event.as_ref()) {
                    return Ok(());
                }
                match event {
                    Some(Event::Closed) => return Err(SimError::Closed),
                    Some(Event::Frame(frame)) => {
                        if let ToAgent::Error(error) = *frame {
                            return Err(SimError::Link(error));
                        }
                    }
                    Some(Event::Binary(_) | Event::Other) | None => {}
                }
            }
        };
        tokio::time::timeout(within, serving)
            .await
            .map_err(|_| SimError::Timeout)?
    }
}

/// Bytes of a relay frame; `None` for a payload that no frame holds.
pub fn frame(kind: Kind, stream_id: u32, payload: &[u8]) -> Option<Vec<u8>> {
    RelayFrame {
        kind,
        stream_id,
        payload,
    }
    .encode()
    .ok()
}
