//! One open session, from welcome to its end: a reader and a writer, each with its own bounded queues.
//!
//! The reader goes on while receipts wait for their commit, so that pings, heartbeats and results are heard; it stops
//! at the batch of receipts that finds no room ([`crate::ingest::Ingest::reserve`]) or beside whose predecessors no answer
//! has room, which is the backpressure: that session alone waits. The writer sends what matters most first: the status,
//! then answers to receipts, then what else is urgent, then orders.

use super::handshake::{self, Proven};
use super::orders::{self, Order};
use super::pace::Pace;
use super::wire::{End, Reader, Writer, split};
use crate::app::{
    App, NodeSession, Outbound, SENT_AWAY, SessionEnd, SessionHandle, SessionQueues, Told,
};
use crate::bus::Event;
use crate::ingest::verify::{Checked, check_all};
use crate::ingest::{Cut, IngestError, Outcome, Pending, ReceiptVerdict};
use axum::extract::ws::WebSocket;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{Ack, Incoming, NodeStatus, Receipts, Refused, ToAgent, ToControlPlane};
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::RECEIPTS_IN_FLIGHT;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
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
    let proven = timeout(
        app.settings.handshake,
        handshake::prove(&app, &mut reader, &mut writer, &node_id, &host),
    )
    .await;
    let proven = match proven {
        Ok(Ok(proven)) => proven,
        Ok(Err(end)) => return writer.close(end).await,
        Err(_) => {
            let message = "the handshake took too long";
            return writer
                .close(End::error(ErrorType::InvalidFrame, message))
                .await;
        }
    };
    if let Some(away_s) = app.guard.conduct.away_s(&node_id) {
        // Sent away while this one was opened.
        let end = End::retry(ErrorType::RateLimited, SENT_AWAY, away_s);
        return writer.close(end).await;
    }
    let Proven {
        node,
        report,
        welcome,
    } = proven;
    let session_id = node.session_id.clone().unwrap_or_default();
    let (handle, queues) = SessionHandle::new(session_id.clone());
    app.session_opened(&node_id, handle, report);
    let SessionQueues { mut ended, told } = queues;
    let serving = async {
        match handshake::welcome(&app, &mut writer, &node_id, welcome).await {
            Ok(()) => Box::pin(serve(&app, node, &mut reader, &mut writer, told)).await,
            Err(end) => end,
        }
    };
    // From here on a newer session may take over, also while the welcome is written.
    let end = tokio::select! {
        biased;
        end = told_to_end(&mut ended) => end,
        end = serving => end,
    };
    app.session_closed(&node_id, &session_id);
    writer.close(end).await;
}

/// Waits until the session is ended from outside.
async fn told_to_end(ended: &mut watch::Receiver<Option<SessionEnd>>) -> End {
    let end = ended
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|end| *end);
    end.map_or(End::Gone, End::from)
}

type Answer = Result<Outcome, IngestError>;

async fn serve(
    app: &Arc<App>,
    node: Arc<NodeSession>,
    reader: &mut Reader,
    writer: &mut Writer,
    told: Told,
) -> End {
    // As many as an agent may have sent and not seen acknowledged, were each receipt a frame of its own.
    let (answers, to_answer) = mpsc::channel(RECEIPTS_IN_FLIGHT);
    let Told {
        status,
        urgent,
        probes,
        rows,
    } = told;
    let (order_sender, orders) = mpsc::channel(1);
    let node_id = node.node_id.clone();
    let answering = Answering {
        app: Arc::clone(app),
        node_id: node_id.clone(),
        acked_seq: node.head_seq,
        answers: to_answer,
        status,
        urgent,
        probes,
        orders,
    };
    let listening = Listening {
        app: Arc::clone(app),
        node,
        answers,
        receipts: RECEIPTS,
        inventories: INVENTORIES,
    };
    tokio::select! {
        biased;
        end = answering.run(writer) => end,
        end = listening.run(reader) => end,
        end = orders::bring(app, &node_id, &rows, &order_sender) => end,
    }
}

/// The reading half.
struct Listening {
    app: Arc<App>,
    node: Arc<NodeSession>,
    answers: mpsc::Sender<Pending>,
    receipts: Pace,
    inventories: Pace,
}

impl Listening {
    async fn run(mut self, reader: &mut Reader) -> End {
        loop {
            let step = match reader.receive().await {
                Ok(Incoming::Known(frame)) => self.handle(frame).await,
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
                self.answers.send(answer).await.map_err(|_| End::Gone)
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
        let reserved = self.app.ingest.reserve(&self.node, bytes).await?;
        let inputs: Vec<Vec<u8>> = batch
            .receipts
            .into_iter()
            .map(|receipt| Box::<str>::from(receipt).into_string().into_bytes())
            .collect();
        let count = inputs.len();
        let checked = check_all(&self.node, inputs, self.app.switches.signatures()).await;
        if checked.len() != count {
            return Err(End::unavailable("receipts could not be verified"));
        }
        if checked.iter().any(Checked::is_of_unknown_key) {
            self.look_up_keys().await?;
        }
        let node = Arc::clone(&self.node);
        let submitted = self.app.ingest.submit(node, checked, reserved, Cut::Pieces);
        Ok(submitted.await?)
    }

    /// A receipt may be of a key that the session does not know: before anybody is blamed, the keys are read again.
    async fn look_up_keys(&self) -> Result<(), End> {
        let node = &self.node;
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
struct Answering {
    app: Arc<App>,
    node_id: NodeId,
    acked_seq: u64,
    answers: mpsc::Receiver<Pending>,
    status: watch::Receiver<Option<NodeStatus>>,
    urgent: mpsc::Receiver<Outbound>,
    probes: mpsc::Receiver<Outbound>,
    orders: mpsc::Receiver<Order>,
}

impl Answering {
    async fn run(mut self, writer: &mut Writer) -> End {
        let mut waiting: Option<Pending> = None;
        loop {
            let step = tokio::select! {
                biased;
                Ok(()) = self.status.changed() => {
                    let status = self.status.borrow_and_update().clone();
                    match status {
                        Some(status) => writer.send(&ToAgent::Status(status)).await,
                        None => Ok(()),
                    }
                }
                answer = first(&mut waiting) => {
                    waiting = None;
                    self.answer(writer, answer).await
                }
                Some(next) = self.answers.recv(), if waiting.is_none() => {
                    waiting = Some(next);
                    Ok(())
                }
                Some(frame) = self.urgent.recv() => writer.send(&frame).await,
                Some(frame) = self.probes.recv() => writer.send(&frame).await,
                Some((frame, written)) = self.orders.recv() => {
                    let sent = writer.send(&frame).await;
                    if sent.is_ok() {
                        // Whoever brought it goes with this session.
                        let _ = written.send(());
                    }
                    sent
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
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
        if let Some(away_s) = self.app.guard.conduct.away_s(&self.node_id) {
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
