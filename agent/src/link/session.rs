//! One session: handshake, then receipts, heartbeats and duties until it ends.
//!
//! Everything happens in one task and one loop: what is read is handled before more is sent, every send has a
//! deadline, and the queue of answers is bounded.

use super::dial::{DialError, Dialled, Socket, dial};
use super::duties::Duties;
use super::{LinkSettings, LinkStatus, Parts, STEP_WITHIN};
use crate::receipts::NotReady;
use dgon_agent_core::link::issues::View;
use dgon_agent_core::link::{Issues, Liveness, Span, Verdict, Window};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{
    Bye, Challenge, Hello, Incoming, LinkError, Receipts as ReceiptsFrame, ToAgent, ToControlPlane,
    Welcome, link_proof_bytes,
};
use dgon_protocol::key::signature_text;
use dgon_protocol::limits::{FRAMES_QUEUED, HANDSHAKE, HEARTBEAT, RECEIPTS_IN_FLIGHT};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::value::RawValue;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_util::sync::CancellationToken;

/// How long one frame may take to leave; a peer that takes none for this long is gone.
const SEND_WITHIN: Duration = Duration::from_secs(20);
/// How long the closing handshake may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How often the clocks are compared, so that a sleep is noticed soon after waking.
const LOOK_AT_CLOCKS: Duration = Duration::from_secs(5);
/// Heartbeat periods that a control plane may ask for, s.
const HEARTBEAT_RANGE_S: std::ops::RangeInclusive<u32> = 1..=300;

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// This agent stops.
    Stopped,
    /// A newer session of this node took over.
    Replaced,
    /// It broke, or never came to be.
    Failed {
        reason: String,
        retry_after: Option<Duration>,
    },
}

impl Ended {
    fn failed(reason: impl Into<String>) -> Self {
        Self::Failed {
            reason: reason.into(),
            retry_after: None,
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("this agent stops"),
            Self::Replaced => f.write_str("a newer session of this node took over"),
            Self::Failed { reason, .. } => f.write_str(reason),
        }
    }
}

impl From<DialError> for Ended {
    fn from(error: DialError) -> Self {
        Self::Failed {
            retry_after: error.retry_after(),
            reason: dgon_agent_core::error::chain(&error),
        }
    }
}

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        if error.kind == ErrorType::Replaced {
            return Self::Replaced;
        }
        let message: String = error.message.chars().take(300).collect();
        Self::Failed {
            reason: format!(
                "the control plane ended the session: {message} ({})",
                error.kind
            ),
            retry_after: error
                .retry_after_s
                .map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

/// A session from its first packet on.
pub(super) struct Session<'a> {
    settings: &'a LinkSettings,
    parts: &'a Parts,
    status: &'a watch::Sender<LinkStatus>,
}

/// What a standing session keeps.
struct Standing {
    socket: Socket,
    window: Window,
    liveness: Liveness,
    origin: Instant,
    duties: Duties,
    issues: Issues,
    /// Receipts may be sent: the control plane does not have more of this chain than we do.
    in_step: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        settings: &'a LinkSettings,
        parts: &'a Parts,
        status: &'a watch::Sender<LinkStatus>,
    ) -> Self {
        Self {
            settings,
            parts,
            status,
        }
    }

    /// Runs until it ends for one of the reasons of [`Ended`].
    pub(super) async fn run(self, stop: &CancellationToken) -> Ended {
        let connecting = timeout(HANDSHAKE, async {
            let dialled = dial(self.settings).await?;
            self.shake_hands(dialled).await
        });
        let (socket, welcome) = tokio::select! {
            connected = connecting => match connected {
                Ok(Ok(connected)) => connected,
                Ok(Err(ended)) => return ended,
                Err(_) => return Ended::failed("the control plane did not answer within 10 seconds"),
            },
            () = stop.cancelled() => return Ended::Stopped,
        };
        let (answers, mut queue) = mpsc::channel(FRAMES_QUEUED);
        let mut standing = self.begin(socket, &welcome, answers).await;
        let ended = self.live(&mut standing, &welcome, &mut queue, stop).await;
        if matches!(ended, Ended::Stopped) {
            let bye = ToControlPlane::Bye(Bye {
                reason: "stopping".to_owned(),
            });
            // The peer may be gone already; there is nothing left to tell anyone.
            drop(standing.send(&bye).await);
        }
        drop(timeout(CLOSE_WITHIN, standing.socket.close(None)).await);
        ended
    }

    /// challenge, hello, welcome.
    async fn shake_hands(&self, dialled: Dialled) -> Result<(Socket, Welcome), Ended> {
        let Dialled { mut socket, host } = dialled;
        let challenge = match next_frame(&mut socket).await? {
            ToAgent::Challenge(challenge) => challenge,
            ToAgent::Error(error) => return Err(error.into()),
            other => return Err(unexpected(&other, "challenge")),
        };
        let hello = ToControlPlane::Hello(self.hello(&challenge, &host));
        send(&mut socket, &hello).await?;
        match next_frame(&mut socket).await? {
            ToAgent::Welcome(welcome) => {
                let ahead = i64::try_from(now_ms()).unwrap_or(0) - challenge.server_time_ms;
                self.status.send_modify(|status| {
                    status.connected(welcome.session_id.clone(), now_ms(), ahead);
                });
                Ok((socket, welcome))
            }
            ToAgent::Error(error) => Err(error.into()),
            other => Err(unexpected(&other, "welcome")),
        }
    }

    fn hello(&self, challenge: &Challenge, host: &str) -> Hello {
        let settings = self.settings;
        let proof = link_proof_bytes(&challenge.nonce, &settings.node_id, host);
        Hello {
            node_id: settings.node_id.clone(),
            public_key: settings.key.public(),
            signature: signature_text(&settings.key.sign(&proof)),
            agent_version: settings.agent_version.clone(),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            boot_id: settings.boot_id.clone(),
            inventory: self.parts.inventory.borrow().as_ref().clone(),
            next_seq: self.parts.receipts.status().last_seq + 1,
            allow: settings.allow.clone(),
        }
    }

    /// Sets the session up from what the control plane says that it has.
    async fn begin(
        &self,
        socket: Socket,
        welcome: &Welcome,
        answers: mpsc::Sender<ToControlPlane>,
    ) -> Standing {
        let receipts = &self.parts.receipts;
        let known = receipts.status();
        let from = resume_from(known.acked_seq, known.last_seq, welcome.acked_seq);
        receipts.resume_at(from).await;
        let spool = receipts.status();
        let in_step = welcome.acked_seq <= spool.last_seq;
        if in_step {
            tracing::info!(
                session = %welcome.session_id,
                acked_seq = welcome.acked_seq,
                waiting = spool.depth(),
                "linked to the control plane"
            );
        } else {
            tracing::error!(
                acked_seq = welcome.acked_seq,
                last_seq = spool.last_seq,
                "the control plane has receipts of this key that the spool does not; no request is served until \
                 the spool is restored or the key is rotated"
            );
        }
        let origin = Instant::now();
        Standing {
            socket,
            window: Window::new(from, spool.oldest_seq, &welcome.limits),
            liveness: Liveness::new(Duration::ZERO, now_ms()),
            origin,
            duties: Duties::new(self.parts.clone(), self.settings.allow.clone(), answers),
            issues: Issues::new(self.view()),
            in_step,
        }
    }

    async fn live(
        &self,
        standing: &mut Standing,
        welcome: &Welcome,
        queue: &mut mpsc::Receiver<ToControlPlane>,
        stop: &CancellationToken,
    ) -> Ended {
        let mut spool = self.parts.receipts.watch();
        // Not marked as seen: what changed since `hello` was written must be sent, or it would be told only with
        // the next change. Sending the same inventory once more costs one frame.
        let mut inventory = self.parts.inventory.clone();
        let mut mode = self.parts.mode.watch();
        mode.mark_unchanged();
        let mut heartbeats = interval(heartbeat_period(welcome.heartbeat_s));
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leave_at: Option<Instant> = None;
        loop {
            self.parts.life.within(STEP_WITHIN);
            let last_seq = spool.borrow_and_update().sendable_seq;
            let sent = match self.send_issues(standing).await {
                Ok(()) => self.send_receipts(standing, last_seq).await,
                Err(ended) => Err(ended),
            };
            if let Err(ended) = sent {
                return ended;
            }
            let is_flushed = !standing.in_step || standing.window.acked_seq() >= last_seq;
            if leave_at.is_some_and(|at| is_flushed || Instant::now() >= at) {
                return Ended::Stopped;
            }
            let look_at = standing.next_look(leave_at);
            let done = tokio::select! {
                message = standing.socket.next() => self.receive(standing, message).await,
                Ok(()) = spool.changed() => Ok(()),
                Some(answer) = queue.recv() => standing.send(&answer).await,
                _ = heartbeats.tick() => self.send_heartbeat(standing).await,
                Ok(()) = inventory.changed() => {
                    let now = inventory.borrow_and_update().as_ref().clone();
                    standing.send(&ToControlPlane::Inventory(now)).await
                }
                Ok(()) = mode.changed() => self.send_heartbeat(standing).await,
                () = sleep_until(look_at) => standing.check_peer().await,
                () = stop.cancelled(), if leave_at.is_none() => {
                    leave_at = Some(Instant::now() + self.settings.flush_within);
                    Ok(())
                }
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    /// What the agent sees of itself.
    fn view(&self) -> View {
        let spool = self.parts.receipts.status();
        let inventory = self.parts.inventory.borrow();
        View {
            depth: spool.depth(),
            max_receipts: spool.max_receipts,
            unwritable: matches!(spool.not_ready, Some(NotReady::Disk { .. })),
            dead_letters: spool.dead_letters,
            runtimes_ready: inventory.runtimes.iter().filter(|one| one.ready).count(),
            gpus: inventory.gpus.len(),
            clock_ahead_ms: self.status.borrow().clock_ahead_ms.unwrap_or(0),
        }
    }

    /// Tells what is new and worth an operator's attention.
    async fn send_issues(&self, standing: &mut Standing) -> Result<(), Ended> {
        for issue in standing.issues.look(self.view()) {
            tracing::warn!(kind = ?issue.kind, "told the control plane of an issue");
            standing.send(&ToControlPlane::Issue(issue)).await?;
        }
        Ok(())
    }

    /// Sends as many receipts as the window has room for.
    async fn send_receipts(&self, standing: &mut Standing, last_seq: u64) -> Result<(), Ended> {
        if !standing.in_step {
            return Ok(());
        }
        while let Some(span) = standing.window.next_span(last_seq) {
            let (frame, sent_seq) = self
                .read_batch(span, last_seq)
                .await
                .map_err(|error| Ended::failed(format!("the spool cannot be read ({error})")))?;
            if !frame.receipts.is_empty() {
                standing.send(&ToControlPlane::Receipts(frame)).await?;
            }
            standing.window.sent(sent_seq);
            self.parts.life.within(STEP_WITHIN);
        }
        Ok(())
    }

    /// One frame of receipts, and the `seq` up to which it accounts.
    async fn read_batch(&self, span: Span, last_seq: u64) -> io::Result<(ReceiptsFrame, u64)> {
        let stored = self
            .parts
            .receipts
            .read(span.from, span.max_count, span.max_bytes)
            .await?;
        // Nothing readable is left: what was there is damaged and is passed over.
        let sent_seq = stored.last().map_or(last_seq, |last| last.seq);
        let receipts = stored
            .into_iter()
            .filter_map(|stored| String::from_utf8(stored.entry_bytes).ok())
            .filter_map(|text| RawValue::from_string(text).ok())
            .collect();
        Ok((ReceiptsFrame { receipts }, sent_seq))
    }

    async fn send_heartbeat(&self, standing: &mut Standing) -> Result<(), Ended> {
        let heartbeat = (self.parts.heartbeat)().await;
        standing.send(&ToControlPlane::Heartbeat(heartbeat)).await
    }

    async fn receive(
        &self,
        standing: &mut Standing,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> Result<(), Ended> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(Ended::failed(format!("the link broke ({error})"))),
            None => return Err(Ended::failed("the control plane closed the link")),
        };
        standing.liveness.heard(standing.origin.elapsed());
        match message {
            Message::Text(text) => match ToAgent::decode(&text) {
                Ok(Incoming::Known(frame)) => self.handle(standing, frame).await,
                Ok(Incoming::Unknown(_)) => {
                    self.count_unknown();
                    Ok(())
                }
                Err(error) => Err(Ended::failed(format!(
                    "the control plane sent a frame that cannot be read ({error})"
                ))),
            },
            // Relayed streams belong to a later version: one that is opened is given up with the reason, and the
            // rest is counted like any unknown frame.
            Message::Binary(bytes) => match standing.duties.relay(&bytes) {
                Some(refusal) => send_message(&mut standing.socket, Message::binary(refusal)).await,
                None => {
                    self.count_unknown();
                    Ok(())
                }
            },
            Message::Close(_) => Err(Ended::failed("the control plane closed the link")),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn handle(&self, standing: &mut Standing, frame: ToAgent) -> Result<(), Ended> {
        match frame {
            ToAgent::Ack(ack) => {
                standing.window.acked(ack.acked_seq);
                self.parts.receipts.acknowledge(ack).await;
                self.status
                    .send_modify(|status| status.last_ack_ms = Some(now_ms()));
            }
            ToAgent::Need(need) => {
                let oldest_seq = self.parts.receipts.status().oldest_seq;
                standing.window.need(need.from, oldest_seq);
            }
            ToAgent::Status(node) => {
                tracing::info!(
                    status = node.status.as_str(),
                    reason = node.reason,
                    "the node's status"
                );
                self.status.send_modify(|status| status.node = Some(node));
            }
            ToAgent::Probe(probe) => {
                if let Some(answer) = standing.duties.probe(probe) {
                    standing.send(&answer).await?;
                }
            }
            ToAgent::Job(job) => {
                let answer = standing.duties.job(job);
                standing.send(&answer).await?;
            }
            // No job runs, so none can be given up.
            ToAgent::JobCancel(_) => {}
            ToAgent::Control(control) => standing.duties.control(control),
            ToAgent::Error(error) => return Err(error.into()),
            other @ (ToAgent::Challenge(_) | ToAgent::Welcome(_)) => {
                return Err(unexpected(&other, "anything but the handshake"));
            }
        }
        Ok(())
    }

    fn count_unknown(&self) {
        self.status.send_modify(|status| status.unknown_frames += 1);
    }
}

impl Standing {
    async fn send(&mut self, frame: &ToControlPlane) -> Result<(), Ended> {
        send(&mut self.socket, frame).await
    }

    /// When to look at the clocks or leave, whichever comes first.
    fn next_look(&self, leave_at: Option<Instant>) -> Instant {
        let soon = Instant::now() + LOOK_AT_CLOCKS;
        let due = self.origin + self.liveness.deadline();
        let look = soon.min(due);
        leave_at.map_or(look, |at| look.min(at))
    }

    async fn check_peer(&mut self) -> Result<(), Ended> {
        match self.liveness.poll(self.origin.elapsed(), now_ms()) {
            Verdict::Wait => Ok(()),
            Verdict::Ping => send_message(&mut self.socket, Message::Ping(Bytes::new())).await,
            Verdict::Gone => Err(Ended::failed("the control plane stopped answering pings")),
        }
    }
}

/// Where a session begins. What was acknowledged while nobody heard it may have been refused, and the refusal went
/// the same way; so it is sent once more, and its verdict comes again.
fn resume_from(known: u64, last: u64, acked: u64) -> u64 {
    let unheard = acked.saturating_sub(known);
    if acked <= last && unheard <= RECEIPTS_IN_FLIGHT as u64 {
        known.min(acked)
    } else {
        acked
    }
}

async fn send(socket: &mut Socket, frame: &ToControlPlane) -> Result<(), Ended> {
    let text = frame.encode(i64::try_from(now_ms()).unwrap_or(i64::MAX));
    send_message(socket, Message::text(text)).await
}

async fn send_message(socket: &mut Socket, message: Message) -> Result<(), Ended> {
    match timeout(SEND_WITHIN, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Ended::failed(format!("the link broke ({error})"))),
        Err(_) => Err(Ended::failed("the control plane takes no more frames")),
    }
}

/// The next text frame of a handshake.
pub(super) async fn next_frame(socket: &mut Socket) -> Result<ToAgent, Ended> {
    loop {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_))) | None => {
                return Err(Ended::failed(
                    "the control plane closed the link during the handshake",
                ));
            }
            Some(Ok(_)) => continue,
            Some(Err(error)) => return Err(Ended::failed(format!("the link broke ({error})"))),
        };
        match ToAgent::decode(&text) {
            Ok(Incoming::Known(frame)) => return Ok(frame),
            Ok(Incoming::Unknown(_)) => {}
            Err(error) => {
                return Err(Ended::failed(format!(
                    "the control plane sent a frame that cannot be read ({error})"
                )));
            }
        }
    }
}

fn unexpected(frame: &ToAgent, expected: &str) -> Ended {
    Ended::failed(format!(
        "the control plane sent {} where {expected} belongs",
        frame.kind()
    ))
}

fn heartbeat_period(seconds: u32) -> Duration {
    if HEARTBEAT_RANGE_S.contains(&seconds) {
        Duration::from_secs(seconds.into())
    } else {
        HEARTBEAT
    }
}

fn now_ms() -> u64 {
    crate::clock::unix_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_unheard_is_sent_once_more() {
        assert_eq!(resume_from(5, 20, 9), 5, "refusals may be among them");
        assert_eq!(resume_from(5, 20, 5), 5);
        assert_eq!(resume_from(9, 20, 5), 5, "the control plane has less");
        assert_eq!(resume_from(5, 20, 21), 21, "the spool was lost");
        assert_eq!(
            resume_from(5, 9_000, 8_000),
            8_000,
            "that is no lost answer"
        );
    }
}
