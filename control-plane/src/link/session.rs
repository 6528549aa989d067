//! One open session, from welcome to its end.
//!
//! The loop reads only while fewer than [`SUBMISSIONS_OPEN`] batches of receipts wait for their commit; the
//! agent then runs into its limit of unacknowledged receipts, which is the backpressure. Every write has a
//! time limit, so a peer that does not read costs one session and no memory.

use super::handshake;
use crate::app::{App, NodeSession, Outbound, SessionEnd, SessionHandle};
use crate::bus::Event;
use crate::ingest::verify::check_all;
use crate::ingest::{Fate, IngestError, Outcome};
use axum::extract::ws::{Message, WebSocket};
use dgon_control_plane_store::StoreError;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{Ack, Incoming, LinkError, Receipts, Refused, ToAgent, ToControlPlane};
use dgon_protocol::id::NodeId;
use dgon_protocol::text::Text;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Batches of receipts of one session between verification and answer.
const SUBMISSIONS_OPEN: usize = 4;
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(20);
/// Silence after which a peer counts as gone: an agent pings every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The peer is gone, or too slow to be told anything.
    Gone,
    /// The peer is told why.
    Error(Box<LinkError>),
}

impl End {
    pub(super) fn error(kind: ErrorType, message: impl Into<String>) -> Self {
        Self::Error(Box::new(LinkError {
            kind,
            message: Text::from(message.into()),
            retry_after_s: None,
        }))
    }

    pub(super) fn unavailable(message: &str) -> Self {
        Self::Error(Box::new(LinkError {
            kind: ErrorType::Unavailable,
            message: message.into(),
            retry_after_s: Some(5),
        }))
    }

    pub(super) fn store(error: &StoreError) -> Self {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a link was given up"
        );
        Self::unavailable("the control plane cannot use its database now")
    }
}

impl From<IngestError> for End {
    fn from(error: IngestError) -> Self {
        Self::unavailable(&error.to_string())
    }
}

impl From<SessionEnd> for End {
    fn from(end: SessionEnd) -> Self {
        match end {
            SessionEnd::Replaced => Self::error(
                ErrorType::Replaced,
                "a newer session of this node took over",
            ),
            SessionEnd::Retired => Self::error(ErrorType::Forbidden, "the node was retired"),
            SessionEnd::Draining => Self::unavailable("the control plane is stopping"),
        }
    }
}

/// The socket as frames.
pub(super) struct Wire {
    socket: WebSocket,
    app: Arc<App>,
}

impl Wire {
    pub(super) async fn send(&mut self, frame: &ToAgent) -> Result<(), End> {
        let text = frame.encode(self.app.clock.now_ms());
        match timeout(WRITE, self.socket.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// The next text frame. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<Incoming<ToControlPlane>, End> {
        loop {
            let message = match timeout(SILENCE, self.socket.recv()).await {
                Ok(Some(Ok(message))) => message,
                Ok(None | Some(Err(_))) | Err(_) => return Err(End::Gone),
            };
            match message {
                Message::Text(text) => {
                    return ToControlPlane::decode(text.as_str()).map_err(|error| {
                        metrics::counter!("link_invalid_frames_total").increment(1);
                        End::error(ErrorType::InvalidFrame, error.to_string())
                    });
                }
                Message::Binary(_) => {
                    let message = "no relay stream is open";
                    return Err(End::error(ErrorType::InvalidFrame, message));
                }
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => return Err(End::Gone),
            }
        }
    }

    /// Says why and closes; nothing waits for the peer.
    async fn close(mut self, end: End) {
        if let End::Error(error) = end {
            tracing::info!(kind = %error.kind, message = %error.message, "link closed");
            let _ = self.send(&ToAgent::Error(*error)).await;
            let _ = timeout(WRITE, self.socket.send(Message::Close(None))).await;
        }
    }
}

/// Serves one upgraded connection of an authenticated node.
pub(super) async fn run(app: Arc<App>, socket: WebSocket, node_id: NodeId, host: String) {
    let mut wire = Wire {
        socket,
        app: Arc::clone(&app),
    };
    let proven = timeout(
        app.settings.handshake,
        handshake::prove(&app, &mut wire, &node_id, &host),
    )
    .await;
    let proven = match proven {
        Ok(Ok(proven)) => proven,
        Ok(Err(end)) => return wire.close(end).await,
        Err(_) => {
            let message = "the handshake took too long";
            return wire
                .close(End::error(ErrorType::InvalidFrame, message))
                .await;
        }
    };
    let node = Arc::clone(&proven.node);
    let session_id = node.session_id.clone().unwrap_or_default();
    let (handle, outbox, ended) = SessionHandle::new(session_id.clone());
    app.sessions.open(&node_id, handle);
    metrics::gauge!("link_sessions").set(app.sessions.count() as f64);
    let end = match handshake::welcome(&app, &mut wire, proven).await {
        Ok(()) => {
            let session = Session {
                app: Arc::clone(&app),
                node,
                acked_seq: 0,
            };
            Box::pin(session.serve(&mut wire, outbox, ended)).await
        }
        Err(end) => end,
    };
    app.sessions.close(&node_id, &session_id);
    metrics::gauge!("link_sessions").set(app.sessions.count() as f64);
    if app.presence.disconnect(&node_id, &session_id) {
        app.bus.send(Event::Node {
            node_id: node_id.clone(),
        });
    }
    wire.close(end).await;
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

struct Session {
    app: Arc<App>,
    node: Arc<NodeSession>,
    acked_seq: u64,
}

impl Session {
    async fn serve(
        mut self,
        wire: &mut Wire,
        mut outbox: mpsc::Receiver<Outbound>,
        mut ended: watch::Receiver<Option<SessionEnd>>,
    ) -> End {
        self.acked_seq = self.node.head_seq;
        let mut open: FuturesOrdered<oneshot::Receiver<Answer>> = FuturesOrdered::new();
        loop {
            let step = tokio::select! {
                biased;
                end = told_to_end(&mut ended) => return end,
                Some(answer) = open.next(), if !open.is_empty() => self.answer(wire, answer).await,
                Some(frame) = outbox.recv() => wire.send(&frame).await,
                frame = wire.receive(), if open.len() < SUBMISSIONS_OPEN => match frame {
                    Ok(Incoming::Known(frame)) => self.handle(frame, &mut open).await,
                    Ok(Incoming::Unknown(kind)) => {
                        tracing::debug!(kind, "frame of an unknown type ignored");
                        metrics::counter!("link_unknown_frames_total").increment(1);
                        Ok(())
                    }
                    Err(end) => Err(end),
                },
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn handle(
        &mut self,
        frame: ToControlPlane,
        open: &mut FuturesOrdered<oneshot::Receiver<Answer>>,
    ) -> Result<(), End> {
        let node_id = &self.node.node_id;
        match frame {
            ToControlPlane::Receipts(batch) => {
                open.push_back(self.ingest(batch).await?);
                Ok(())
            }
            ToControlPlane::Heartbeat(mut heartbeat) => {
                heartbeat.gpus.truncate(handshake::GPUS);
                self.app.heard(node_id, heartbeat);
                Ok(())
            }
            ToControlPlane::Inventory(inventory) => {
                let inventory = handshake::bounded(inventory)?;
                self.app.presence.inventory(node_id, inventory);
                self.app.bus.send(Event::Node {
                    node_id: node_id.clone(),
                });
                self.app.lifecycle_wake.notify_one();
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

    async fn ingest(&self, batch: Receipts) -> Result<oneshot::Receiver<Answer>, End> {
        let bytes = batch
            .receipts
            .iter()
            .map(|receipt| receipt.get().len())
            .sum();
        let reserved = self.app.ingest.reserve(bytes).await?;
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
        Ok(self
            .app
            .ingest
            .submit(Arc::clone(&self.node), checked, reserved)
            .await?)
    }

    async fn answer(
        &mut self,
        wire: &mut Wire,
        answer: Result<Answer, oneshot::error::RecvError>,
    ) -> Result<(), End> {
        let outcome = answer.map_err(|_| IngestError::Stopped)??;
        let refused: Vec<Refused> = outcome
            .verdicts
            .into_iter()
            .filter_map(|verdict| match verdict.fate {
                Fate::Refused { kind, message } => Some(Refused {
                    request_id: verdict.request_id,
                    kind,
                    message: message.into(),
                }),
                Fate::Accepted | Fate::Duplicate | Fate::Held => None,
            })
            .collect();
        self.acked_seq = self.acked_seq.max(outcome.head_seq);
        wire.send(&ToAgent::Ack(Ack {
            acked_seq: self.acked_seq,
            refused,
        }))
        .await?;
        if let Some(need) = outcome.need.filter(|need| need.to > self.acked_seq) {
            wire.send(&ToAgent::Need(need)).await?;
        }
        Ok(())
    }
}
