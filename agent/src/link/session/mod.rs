//! One session, from its first packet to its end.
//!
//! | task | does |
//! |---|---|
//! | `reader` | reads frames as fast as the session's budget allows, and waits for nothing but the network |
//! | `writer` | sends what waits, the most urgent first, each within a deadline |
//! | `receipts` | fills the writer's queue of receipts and applies acknowledgements |
//! | `node_reports` | heartbeats, and what changes about the node |
//! | this one | pings, and ends all of them together |
//!
//! So a slow disk, a driver that hangs or a peer that does not read never delays what comes in, and a cancel is never
//! behind receipts. A panic of any of them is a panic of the link.

mod mail;
mod node_reports;
mod outbox;
mod reader;
mod receipts;
mod writer;

pub(super) use outbox::{Outbox, Turn};

use super::dial::dial;
use super::ended::Ended;
use super::handshake::{Authenticated, authenticate_session};
use super::log::LinkLog;
use super::requests::Requests;
use super::streams::{Session, Streams};
use super::{LinkSettings, LinkStatus, Parts, STEP_WITHIN, now_ms};
use crate::timer_borders;
use dgon_agent_core::link::{Liveness, Verdict, Window};
use dgon_protocol::frame::{Bye, Permission, ToControlPlane};
use dgon_protocol::limits::{HANDSHAKE, HEARTBEAT};
use futures_util::StreamExt as _;
use mail::Mailbox;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// How long the closing handshake may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How often the clocks are compared, so that a sleep is noticed soon after waking.
const LOOK_AT_CLOCKS: Duration = Duration::from_secs(5);
/// Heartbeat periods that a control plane may ask for, s.
const HEARTBEAT_RANGE_S: std::ops::RangeInclusive<u32> = 1..=300;

/// What the tasks of a session share.
struct Shared {
    parts: Parts,
    status: watch::Sender<LinkStatus>,
    log: Arc<LinkLog>,
    outbox: Outbox,
    mailbox: Mailbox,
    origin: Instant,
    /// When something came in last, ms since `origin`.
    heard_ms: AtomicU64,
    /// Last `seq` that the control plane can have: it had it at the start, or it was given to the network.
    sent_seq: AtomicU64,
}

impl Shared {
    fn sent(&self, seq: u64) {
        self.sent_seq.fetch_max(seq, Ordering::SeqCst);
    }

    fn has_sent(&self) -> u64 {
        self.sent_seq.load(Ordering::SeqCst)
    }
}

/// Dials, proves, and keeps the session until it ends for one of the reasons of [`Ended`].
pub(super) async fn run(
    settings: &LinkSettings,
    parts: &Parts,
    status: &watch::Sender<LinkStatus>,
    log: &Arc<LinkLog>,
    stop: &CancellationToken,
) -> Ended {
    let connecting = timeout(HANDSHAKE, async {
        let dialled = dial(settings).await?;
        authenticate_session(settings, parts, dialled).await
    });
    let proven = tokio::select! {
        connected = connecting => match connected {
            Ok(Ok(proven)) => proven,
            Ok(Err(ended)) => return ended,
            Err(_) => return Ended::failed("the control plane did not answer within 10 seconds"),
        },
        () = stop.cancelled() => return Ended::Stopped,
    };
    let session_id = proven.welcome.session_id.clone();
    let ahead_ms = proven.clock_ahead_ms;
    status.send_modify(|status| status.connected(session_id, now_ms(), ahead_ms));
    live(settings, parts, status, log, proven, stop).await
}

async fn live(
    settings: &LinkSettings,
    parts: &Parts,
    status: &watch::Sender<LinkStatus>,
    log: &Arc<LinkLog>,
    proven: Authenticated,
    stop: &CancellationToken,
) -> Ended {
    let (window, in_step) = begin(parts, log, &proven).await;
    let (outbox, queues) = outbox::queues();
    let known_seq = proven.ahead.unwrap_or(proven.welcome.acked_seq);
    let shared = Arc::new(Shared {
        parts: parts.clone(),
        status: status.clone(),
        log: Arc::clone(log),
        outbox: outbox.clone(),
        mailbox: Mailbox::default(),
        origin: Instant::now(),
        heard_ms: AtomicU64::new(0),
        sent_seq: AtomicU64::new(known_seq.max(window.sent_seq())),
    });
    let requests = Requests::new(
        parts.clone(),
        settings.allow.clone(),
        outbox.clone(),
        Arc::clone(log),
    );
    let streams = Streams::new(
        Session {
            parts: parts.clone(),
            outbox: outbox.clone(),
            log: Arc::clone(log),
            node_id: settings.node_id.clone(),
            session_id: proven.welcome.session_id.clone(),
            is_allowed: settings.allow.contains(&Permission::Gateway),
            clock_ahead_ms: proven.clock_ahead_ms,
            secret: Arc::clone(&settings.secret),
        },
        proven.welcome.order_keys.clone(),
    );
    let (sink, stream) = proven.socket.split();
    let (leaving, finish) = (CancellationToken::new(), CancellationToken::new());
    // Alone in its set, so that it outlives the others by a last word.
    let mut writer = JoinSet::new();
    writer.spawn(writer::run(
        sink,
        queues,
        Arc::clone(&shared),
        finish.clone(),
    ));
    let mut tasks = JoinSet::new();
    tasks.spawn(reader::run(stream, Arc::clone(&shared), requests, streams));
    tasks.spawn(receipts::run(
        Arc::clone(&shared),
        window,
        in_step,
        leaving.clone(),
    ));
    let period = heartbeat_period(proven.welcome.heartbeat_s);
    tasks.spawn(node_reports::heartbeats(Arc::clone(&shared), period));
    tasks.spawn(node_reports::inventories(Arc::clone(&shared)));
    tasks.spawn(node_reports::issues(Arc::clone(&shared)));

    let mut leave_at: Option<Instant> = None;
    let mut liveness = Liveness::new(Duration::ZERO, now_ms());
    let mut heard = Duration::ZERO;
    let ended = loop {
        parts.liveness.within(STEP_WITHIN);
        let heard_now = Duration::from_millis(shared.heard_ms.load(Ordering::Relaxed));
        if heard_now > heard {
            heard = heard_now;
            liveness.heard(heard);
        }
        let look = timer_borders::at_or_before(Instant::now() + LOOK_AT_CLOCKS)
            .min(shared.origin + liveness.deadline());
        let look = leave_at.map_or(look, |at| look.min(at));
        tokio::select! {
            Some(joined) = tasks.join_next() => break outcome(joined),
            Some(joined) = writer.join_next() => break outcome(joined),
            () = sleep_until(look) => match liveness.poll(shared.origin.elapsed(), now_ms()) {
                Verdict::Wait => {}
                Verdict::Ping => outbox.ping(),
                Verdict::Gone => break Ended::failed("the control plane stopped answering pings"),
            },
            () = stop.cancelled(), if leave_at.is_none() => {
                leave_at = Some(Instant::now() + settings.flush_within);
                leaving.cancel();
            }
        }
        if leave_at.is_some_and(|at| Instant::now() >= at) {
            break Ended::Stopped;
        }
    };
    tasks.shutdown().await;
    if matches!(ended, Ended::Stopped) {
        let bye = ToControlPlane::Bye(Bye {
            reason: "stopping".to_owned(),
        });
        // The peer may be gone already; there is nothing left to tell anyone.
        outbox.answer(&bye);
    }
    finish.cancel();
    if let Ok(Some(joined)) = timeout(CLOSE_WITHIN, writer.join_next()).await {
        outcome(joined);
    }
    ended
}

/// What a task of the session ended with. Its panic is ours.
fn outcome(joined: Result<Ended, JoinError>) -> Ended {
    match joined {
        Ok(ended) => ended,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ended::failed("a task of the link was cut off"),
        },
    }
}

/// Sets the receipts up from what the control plane says that it has; the window, and whether receipts may be sent.
async fn begin(parts: &Parts, log: &LinkLog, proven: &Authenticated) -> (Window, bool) {
    let Authenticated { welcome, ahead, .. } = proven;
    let receipts = &parts.receipts;
    let known = receipts.status();
    let from = match ahead {
        Some(seq) => *seq,
        None => resume_from(known.acked_seq, known.last_seq, welcome.acked_seq),
    };
    receipts.resume_at(from).await;
    let spool = receipts.status();
    if log.may_tell() {
        if ahead.is_none() {
            tracing::info!(
                session = %welcome.session_id,
                acked_seq = welcome.acked_seq,
                waiting = spool.depth(),
                "linked to the control plane"
            );
        } else {
            tracing::error!(
                acked_seq = from,
                last_seq = spool.last_seq,
                "the control plane shows a receipt of this key that the spool does not have; no request is served until \
                 the spool is restored or the key is rotated"
            );
        }
    }
    let window = Window::new(from, spool.oldest_seq, &welcome.limits);
    (window, ahead.is_none())
}

/// Where a session begins. What was acknowledged while nobody heard it may have been refused, and the refusal went
/// the same way; so it is sent once more, and its verdict comes again.
///
/// No more can have been acknowledged unheard than was in flight; a claim of more is not believed, and sending twice does
/// no harm. A control plane that has more of the chain than this machine has shown that it does.
fn resume_from(known: u64, last: u64, acked: u64) -> u64 {
    if acked <= last {
        known.min(acked)
    } else {
        acked
    }
}

fn heartbeat_period(seconds: u32) -> Duration {
    if HEARTBEAT_RANGE_S.contains(&seconds) {
        Duration::from_secs(seconds.into())
    } else {
        HEARTBEAT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_unheard_is_sent_once_more() {
        assert_eq!(resume_from(5, 20, 9), 5, "refusals may be among them");
        assert_eq!(resume_from(5, 20, 5), 5);
        assert_eq!(resume_from(9, 20, 5), 5, "the control plane has less");
        assert_eq!(resume_from(5, 9_000, 8_000), 5, "nobody has shown that");
    }

    #[test]
    fn a_period_that_no_control_plane_needs_is_not_obeyed() {
        for odd in [0, 301, u32::MAX] {
            assert_eq!(heartbeat_period(odd), HEARTBEAT);
        }
        assert_eq!(heartbeat_period(300), Duration::from_secs(300));
    }
}
