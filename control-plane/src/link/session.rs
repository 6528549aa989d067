//! One open session, from welcome to its end: a reader and a writer, each with its own bounded queues.
//!
//! The reader goes on while receipts wait for their commit, so that pings, heartbeats and results are heard; at
//! the batch of receipts that finds no room ([`crate::ingest::Ingest::reserve`]) or beside whose predecessors no answer
//! has room it goes on for relayed answers alone, up to the next text frame, and then it stops, which is the backpressure:
//! that session alone waits. The writer sends what matters most first: the status and
//! the keys of orders, then answers to receipts, then what else is urgent, then orders of people. Relay frames come last: of
//! those that steer a stream few are due at once, and bodies wait for everything.

use super::handshake::{self, Proven};
use super::orders::{self, Order};
use super::relay::Relayed;
use super::wire::{End, Reader, Writer, split};
use crate::app::{
    App, Mailbox, NodeSession, OwnMailbox, Queue, SENT_AWAY, Secret, SessionEnd, SessionHandle,
};
use crate::bus::Event;
use crate::ingest::verify::{Checked, check_all};
use crate::ingest::{Cut, IngestError, Outcome, Pending, ReceiptVerdict};
use crate::socket::{Pace, WebSocket};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{
    Ack, Incoming, Receipts, Refused, SealedKeys, SealedWelcome, ToAgent, ToControlPlane,
};
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::RECEIPTS_IN_FLIGHT;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Receipts that a session may send each second, and at once. An agent that was away for a day is done in a minute.
const RECEIPTS: Pace = Pace::new(2_000.0, 8_192.0);
/// Inventories that a session may send each second, and at once: each is written.
const INVENTORIES: Pace = Pace::new(0.5, 8.0);
/// So many models cost as much again: each is a row.
const INVENTORY_MODELS: f64 = 100.0;
/// Largest heartbeat: it is kept of every node. 256 GPUs with all that is told of them have room.
const HEARTBEAT_BYTES: usize = 128 * 1024;

/// How long a node that is sent away may take to read what was refused of it.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Serves one upgraded connection of an authenticated node.
pub(super) async fn run(app: Arc<App>, socket: WebSocket, node_id: NodeId, host: String) {
    let (mut reader, mut writer) = split(&app, socket);
    let end = match Box::pin(open(&app, &mut reader, &mut writer, &node_id, host)).await {
        Ok(opened) => opened.run(&app, &node_id, &mut reader, &mut writer).await,
        Err(end) => end,
    };
    Box::pin(writer.close(end)).await;
}

/// An open session.
struct Opened {
    node: Arc<NodeSession>,
    mailbox: OwnMailbox,
    secret: Arc<Secret>,
    welcome: Box<SealedWelcome>,
}

/// Lets the node prove itself, and opens its session.
async fn open(
    app: &Arc<App>,
    reader: &mut Reader,
    writer: &mut Writer,
    node_id: &NodeId,
    host: String,
) -> Result<Opened, End> {
    let proven = timeout(
        app.settings.handshake,
        handshake::prove(app, reader, writer, node_id, &host),
    );
    let Proven {
        node,
        report,
        welcome,
        secret,
        keys_version,
    } = proven
        .await
        // Whose fault that is is not known here.
        .map_err(|_| End::unavailable("the handshake took too long"))??;
    if let Some(away_s) = app.guard.conduct.away_s(node_id) {
        // Sent away while this one was opened.
        return Err(End::retry(ErrorType::RateLimited, SENT_AWAY, away_s));
    }
    let session_id = node.session_id.clone().unwrap_or_default();
    let (handle, mailbox) = SessionHandle::new(session_id);
    app.session_opened(node_id, handle, report);
    // Whoever passes a node on takes its secret away and then ends its session: one of the two sees the other.
    let is_known = app.node_secret(node_id).await;
    if !is_known.is_ok_and(|now| now.is_some_and(|now| *now == *secret)) {
        mailbox.ended.set(SessionEnd::PassedOn);
    }
    // Whoever changes the keys tells the sessions that are open: this one opened with those of before.
    if app.order_keys.version() != keys_version {
        mailbox.order_keys.notify_one();
    }
    Ok(Opened {
        node,
        mailbox,
        secret,
        welcome: Box::new(welcome),
    })
}

impl Opened {
    /// Runs to its end. From the beginning a newer session may take over, also while the welcome is written.
    async fn run(
        self,
        app: &Arc<App>,
        node_id: &NodeId,
        reader: &mut Reader,
        writer: &mut Writer,
    ) -> End {
        let Self {
            node,
            mailbox,
            secret,
            welcome,
        } = self;
        let serving = pin!(async {
            match Box::pin(handshake::welcome(app, writer, node_id, *welcome)).await {
                Ok(()) => Box::pin(serve(app, (&node, &secret), reader, writer, &mailbox)).await,
                Err(end) => end,
            }
        });
        let end = tokio::select! {
            biased;
            end = mailbox.ended.take() => End::from(end),
            end = serving => end,
        };
        app.session_closed(node_id, node.session_id.as_deref().unwrap_or_default());
        end
    }
}

type Answer = Result<Outcome, IngestError>;

async fn serve(
    app: &Arc<App>,
    (node, secret): (&Arc<NodeSession>, &Secret),
    reader: &mut Reader,
    writer: &mut Writer,
    mailbox: &Mailbox,
) -> End {
    // As many as an agent may have sent and not seen acknowledged, were each receipt a frame of its own.
    let answers = Queue::new(RECEIPTS_IN_FLIGHT);
    let orders = Queue::new(1);
    let answering = Answering {
        app,
        node,
        secret,
        acked_seq: node.head_seq,
        answers: &answers,
        mailbox,
        orders: &orders,
    };
    let listening = Listening {
        app,
        node,
        answers: &answers,
        receipts: RECEIPTS,
        inventories: INVENTORIES,
    };
    // Pinned where they are made: what is moved is held twice for as long as the session stands.
    let answering = pin!(answering.run(writer));
    let relayed = Relayed::new(&mailbox.relay);
    let listening = pin!(listening.run(reader, relayed));
    let bringing = pin!(orders::bring(app, &node.node_id, &mailbox.rows, &orders));
    tokio::select! {
        biased;
        end = answering => end,
        end = listening => end,
        end = bringing => end,
    }
}

/// The reading half.
struct Listening<'s> {
    app: &'s Arc<App>,
    node: &'s Arc<NodeSession>,
    answers: &'s Queue<Pending>,
    receipts: Pace,
    inventories: Pace,
}

impl Listening<'_> {
    async fn run(mut self, reader: &mut Reader, mut relayed: Relayed<'_>) -> End {
        let mut came = None;
        loop {
            let frame = match came.take() {
                Some(frame) => Ok(frame),
                None => relayed.receive(reader).await,
            };
            let step = match frame.map(|frame| *frame) {
                // A session waits for frames most of the time, and holds nothing of how the last one was handled.
                Ok(Incoming::Known(frame)) => {
                    let handled = Box::pin(self.handle_beside(frame, reader, &mut relayed)).await;
                    handled.map(|meanwhile| came = meanwhile)
                }
                Ok(Incoming::Unknown(kind)) => {
                    tracing::debug!(kind, "frame of an unknown type ignored");
                    metrics::counter!("link_unknown_frames_total").increment(1);
                    Ok(())
                }
                Err(end) => Err(end),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Handles a frame. Answers that are relayed do not wait for it: where receipts wait for room, what comes is read on up to the
    /// next text frame, which waits in turn.
    async fn handle_beside(
        &mut self,
        frame: ToControlPlane,
        reader: &mut Reader,
        relayed: &mut Relayed<'_>,
    ) -> Result<Option<Box<Incoming<ToControlPlane>>>, End> {
        let mut handling = pin!(self.handle(frame));
        let mut came = None;
        loop {
            tokio::select! {
                biased;
                handled = &mut handling => return handled.map(|()| came),
                next = relayed.receive(reader), if came.is_none() => came = Some(next?),
            }
        }
    }

    async fn handle(&mut self, frame: ToControlPlane) -> Result<(), End> {
        let node_id = &self.node.node_id;
        match frame {
            ToControlPlane::Receipts(batch) => {
                self.receipts.ready().await;
                if let Some(away_s) = self.app.guard.conduct.away_s(node_id) {
                    // Nothing more is read. Its answers, which say what was refused, end this session; where the node
                    // does not read them, this does.
                    tokio::time::sleep(LAST_ANSWERS).await;
                    return Err(End::retry(ErrorType::RateLimited, SENT_AWAY, away_s));
                }
                self.receipts.spend(batch.receipts.len() as f64);
                let answer = self.ingest(batch).await?;
                self.answers.push(answer).await;
                Ok(())
            }
            ToControlPlane::Heartbeat(mut heartbeat) => {
                heartbeat.gpus.truncate(handshake::GPUS);
                let size = serde_json::to_string(&heartbeat).map_or(usize::MAX, |json| json.len());
                if size > HEARTBEAT_BYTES {
                    let message = format!("a heartbeat has at most {HEARTBEAT_BYTES} bytes");
                    return Err(End::error(ErrorType::InvalidFrame, message));
                }
                self.app.heard(node_id, heartbeat);
                Ok(())
            }
            ToControlPlane::Inventory(inventory) => {
                self.inventories.ready().await;
                let inventory = handshake::bounded(inventory)?;
                let models = inventory.runtimes.iter().map(|one| one.models.len());
                let models: usize = models.sum();
                self.inventories
                    .spend(1.0 + models as f64 / INVENTORY_MODELS);
                let session_id = self.node.session_id.as_deref();
                self.app.presence.inventory(node_id, session_id, inventory);
                self.app.bus.send(Event::Node {
                    node_id: node_id.clone(),
                });
                self.app.attention.look_at(node_id);
                Ok(())
            }
            ToControlPlane::ProbeResult(result) => {
                self.app.probe_result(node_id, result);
                Ok(())
            }
            ToControlPlane::Issue(issue) => {
                tracing::warn!(%node_id, kind = ?issue.kind, "the node reports an issue");
                Ok(())
            }
            // No jobs are dispatched yet: what comes is of a session before a restart.
            ToControlPlane::JobUpdate(_) | ToControlPlane::JobResult(_) => Ok(()),
            ToControlPlane::Bye(bye) => {
                tracing::info!(%node_id, reason = bye.reason, "the node says goodbye");
                Err(End::Gone)
            }
            ToControlPlane::Hello(_) => Err(End::error(
                ErrorType::InvalidFrame,
                "hello comes once, at the start",
            )),
        }
    }

    async fn ingest(&self, batch: Receipts) -> Result<Pending, End> {
        let bytes = batch
            .receipts
            .iter()
            .map(|receipt| receipt.get().len())
            .sum();
        let reserved = self.app.ingest.reserve(self.node, bytes).await?;
        let inputs: Vec<Vec<u8>> = batch
            .receipts
            .into_iter()
            .map(|receipt| Box::<str>::from(receipt).into_string().into_bytes())
            .collect();
        let count = inputs.len();
        let checked = check_all(self.node, inputs, self.app.switches.signatures()).await;
        if checked.len() != count {
            return Err(End::unavailable("receipts could not be verified"));
        }
        if checked.iter().any(Checked::is_of_unknown_key) {
            // Seldom, and with ten times the rest to remember: so not in what is taken for each frame.
            Box::pin(self.look_up_keys()).await?;
        }
        let node = Arc::clone(self.node);
        let submitted = self.app.ingest.submit(node, checked, reserved, Cut::Pieces);
        Ok(submitted.await?)
    }

    /// A receipt may be of a key that the session does not know: before anybody is blamed, the keys are read again.
    async fn look_up_keys(&self) -> Result<(), End> {
        let node = self.node;
        let now = self.app.node_session(&node.node_id, None).await;
        let now = now.map_err(|error| End::store(&error))?;
        if now.is_some_and(|now| now.has_keys_of(node)) {
            return Ok(());
        }
        Err(End::unavailable(
            "the node's keys have changed since this session began; connect again",
        ))
    }
}

/// The writing half.
struct Answering<'s> {
    app: &'s App,
    node: &'s NodeSession,
    secret: &'s Secret,
    acked_seq: u64,
    answers: &'s Queue<Pending>,
    mailbox: &'s Mailbox,
    orders: &'s Queue<Order>,
}

impl Answering<'_> {
    async fn run(mut self, writer: &mut Writer) -> End {
        let (mailbox, mut waiting) = (self.mailbox, None);
        loop {
            let step = tokio::select! {
                biased;
                status = mailbox.status.take() => writer.send(&ToAgent::Status(status)).await,
                () = mailbox.order_keys.notified() => Box::pin(self.order_keys(writer)).await,
                answer = first(&mut waiting) => {
                    waiting = None;
                    Box::pin(self.answer(writer, answer)).await
                }
                next = self.answers.pop(), if waiting.is_none() => {
                    waiting = Some(next);
                    Ok(())
                }
                frame = mailbox.urgent.pop() => writer.send(&frame).await,
                frame = mailbox.probes.pop() => writer.send(&frame).await,
                (frame, written) = self.orders.pop() => {
                    let sent = writer.send(&frame).await;
                    if sent.is_ok() {
                        // Whoever brought it goes with this session.
                        let _ = written.send(());
                    }
                    sent
                }
                frame = mailbox.relay.next() => writer.send_relay(frame).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Tells which order keys are live now.
    async fn order_keys(&self, writer: &mut Writer) -> Result<(), End> {
        let (keys, _) = self.app.order_keys.live(self.app.clock.now_ms());
        let session_id = self.node.session_id.as_deref().unwrap_or_default();
        let sealed = SealedKeys::seal(keys, self.secret, session_id).map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "keys of orders were not sealed"
            );
            End::unavailable("the control plane cannot prove its keys now")
        })?;
        writer.send(&ToAgent::Keys(sealed)).await
    }

    async fn answer(&mut self, writer: &mut Writer, answer: Answer) -> Result<(), End> {
        let outcome = answer?;
        let refused: Vec<Refused> = outcome
            .verdicts
            .into_iter()
            .filter_map(ReceiptVerdict::refused)
            .collect();
        self.acked_seq = self.acked_seq.max(outcome.head_seq);
        let ack = Ack {
            acked_seq: self.acked_seq,
            refused,
        };
        writer.send(&ToAgent::Ack(ack)).await?;
        if let Some(need) = outcome.need.filter(|need| need.to > self.acked_seq) {
            writer.send(&ToAgent::Need(need)).await?;
        }
        if let Some(away_s) = self.app.guard.conduct.away_s(&self.node.node_id) {
            return Err(End::retry(ErrorType::RateLimited, SENT_AWAY, away_s));
        }
        Ok(())
    }
}

/// The oldest batch's answer; never, where none waits.
async fn first(waiting: &mut Option<Pending>) -> Answer {
    match waiting {
        Some(waiting) => waiting.outcome().await,
        None => std::future::pending().await,
    }
}
