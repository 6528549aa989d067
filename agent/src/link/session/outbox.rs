//! What waits to be sent, by urgency. Each queue is bounded; the writer takes the most urgent first. Answers of streams and
//! receipts take turns, and so do the streams among themselves: each has at most one frame in their queue.

use dgon_protocol::frame::ToControlPlane;
use dgon_protocol::limits::{FRAMES_QUEUED, RELAY_STREAMS};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Frames of receipts that wait: while one is being sent, the next is ready.
const BULK_QUEUED: usize = 2;
/// Cancels and windows that wait: some of each stream at once. A peer that lets more of them wait does not read.
const URGENT_QUEUED: usize = 4 * RELAY_STREAMS;

/// A message on its way to the writer.
pub(super) struct Outgoing {
    pub(super) message: Message,
    /// `seq` of the last receipt in it; 0 in all but frames of receipts.
    pub(super) sent_seq: u64,
    /// The turn of the stream that it is of, given back once it has left.
    _turn: Option<OwnedSemaphorePermit>,
}

/// A stream's right to have one frame waiting.
#[derive(Clone)]
pub(in crate::link) struct Turn(Arc<Semaphore>);

impl Turn {
    pub(in crate::link) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Outgoing {
    fn new(message: Message) -> Self {
        Self {
            message,
            sent_seq: 0,
            _turn: None,
        }
    }

    pub(super) fn frame(frame: &ToControlPlane) -> Self {
        let now_ms = i64::try_from(super::now_ms()).unwrap_or(i64::MAX);
        Self::new(Message::text(frame.encode(now_ms)))
    }
}

/// The ends at which frames go in.
#[derive(Clone)]
pub(in crate::link) struct Outbox {
    urgent: mpsc::Sender<Outgoing>,
    answers: mpsc::Sender<Outgoing>,
    control: mpsc::Sender<Outgoing>,
    streams: mpsc::Sender<Outgoing>,
    bulk: mpsc::Sender<Outgoing>,
}

/// The ends at which the writer takes them out.
pub(super) struct Queues {
    urgent: mpsc::Receiver<Outgoing>,
    answers: mpsc::Receiver<Outgoing>,
    control: mpsc::Receiver<Outgoing>,
    streams: mpsc::Receiver<Outgoing>,
    bulk: mpsc::Receiver<Outgoing>,
    /// Whether a stream had the last turn, so that receipts have the next.
    is_bulks_turn: bool,
}

pub(super) fn queues() -> (Outbox, Queues) {
    let (urgent, urgent_out) = mpsc::channel(URGENT_QUEUED);
    let (answers, answers_out) = mpsc::channel(FRAMES_QUEUED);
    let (control, control_out) = mpsc::channel(FRAMES_QUEUED);
    let (streams, streams_out) = mpsc::channel(RELAY_STREAMS);
    let (bulk, bulk_out) = mpsc::channel(BULK_QUEUED);
    let outbox = Outbox {
        urgent,
        answers,
        control,
        streams,
        bulk,
    };
    let queues = Queues {
        urgent: urgent_out,
        answers: answers_out,
        control: control_out,
        streams: streams_out,
        bulk: bulk_out,
        is_bulks_turn: false,
    };
    (outbox, queues)
}

impl Outbox {
    /// A relay frame that steers a stream: cancel or window. `false` where there is no room: the peer does not read.
    pub(in crate::link) fn urgent(&self, relay: Vec<u8>) -> bool {
        let out = Outgoing::new(Message::binary(relay));
        self.urgent.try_send(out).is_ok()
    }

    /// A frame of a stream's answer: waits for its turn. `false` once the session is over.
    pub(in crate::link) async fn stream(&self, turn: &Turn, relay: Vec<u8>) -> bool {
        let Ok(permit) = Arc::clone(&turn.0).acquire_owned().await else {
            return false;
        };
        let out = Outgoing {
            message: Message::binary(relay),
            sent_seq: 0,
            _turn: Some(permit),
        };
        self.streams.send(out).await.is_ok()
    }

    /// An answer to something that was asked. `false` where there is no room: the peer does not read its answers, and
    /// asks again if it wants one.
    pub(in crate::link) fn answer(&self, frame: &ToControlPlane) -> bool {
        self.answers.try_send(Outgoing::frame(frame)).is_ok()
    }

    /// A result that was worked for: waits for room.
    pub(in crate::link) async fn result(&self, frame: &ToControlPlane) {
        // The session may have ended; the control plane then asks again in the next one.
        drop(self.answers.send(Outgoing::frame(frame)).await);
    }

    /// A ping. One that finds no room is not missed: what is before it shows as well whether the peer reads.
    pub(super) fn ping(&self) {
        drop(
            self.control
                .try_send(Outgoing::new(Message::Ping(Bytes::new()))),
        );
    }

    /// News of the node: waits for room. Never returns once the writer is gone, which ends the session anyway.
    pub(super) async fn control(&self, frame: &ToControlPlane) {
        if self.control.send(Outgoing::frame(frame)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Room for one frame of receipts. Never returns once the writer is gone.
    pub(super) async fn bulk(&self) -> mpsc::Permit<'_, Outgoing> {
        match self.bulk.reserve().await {
            Ok(permit) => permit,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Queues {
    /// The most urgent message that waits. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Outgoing> {
        let in_turn = next_of_two(&mut self.streams, &mut self.bulk, self.is_bulks_turn);
        let (out, is_of_stream) = tokio::select! {
            biased;
            Some(out) = self.urgent.recv() => return Some(out),
            Some(out) = self.answers.recv() => return Some(out),
            Some(out) = self.control.recv() => return Some(out),
            Some(out) = in_turn => out,
            else => return None,
        };
        self.is_bulks_turn = is_of_stream;
        Some(out)
    }
}

/// The next frame of a stream or of receipts, and whether it is of a stream; whose turn it is goes first. Cancel-safe.
async fn next_of_two(
    streams: &mut mpsc::Receiver<Outgoing>,
    bulk: &mut mpsc::Receiver<Outgoing>,
    is_bulks_turn: bool,
) -> Option<(Outgoing, bool)> {
    poll_fn(|cx| {
        let mut is_open = false;
        for is_of_stream in [!is_bulks_turn, is_bulks_turn] {
            let queue = if is_of_stream {
                &mut *streams
            } else {
                &mut *bulk
            };
            match queue.poll_recv(cx) {
                Poll::Ready(Some(out)) => return Poll::Ready(Some((out, is_of_stream))),
                Poll::Ready(None) => {}
                Poll::Pending => is_open = true,
            }
        }
        if is_open {
            Poll::Pending
        } else {
            Poll::Ready(None)
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_protocol::frame::{Bye, Heartbeat};

    #[tokio::test]
    async fn the_most_urgent_goes_first_and_every_queue_has_an_end() {
        let (outbox, mut queues) = queues();
        let bye = ToControlPlane::Bye(Bye {
            reason: "x".to_owned(),
        });
        let beat = ToControlPlane::Heartbeat(Heartbeat::default());
        outbox.bulk().await.send(Outgoing::frame(&bye));
        outbox.control(&beat).await;
        assert!(outbox.answer(&bye));
        assert!(outbox.urgent(vec![5, 0, 0, 0, 1]));
        let mut order = Vec::new();
        for _ in 0..4 {
            let message = queues.next().await.unwrap().message;
            order.push(match message {
                Message::Binary(_) => "urgent",
                Message::Text(text) if text.contains("heartbeat") => "control",
                _ => "bye",
            });
        }
        assert_eq!(order, ["urgent", "bye", "control", "bye"]);
        let taken = (0..100).take_while(|_| outbox.answer(&bye)).count();
        assert_eq!(taken, FRAMES_QUEUED);
        let taken = (0..9_999).take_while(|_| outbox.urgent(vec![5])).count();
        assert_eq!(taken, URGENT_QUEUED);
    }

    #[tokio::test]
    async fn streams_take_turns_with_each_other_and_with_receipts() {
        let (outbox, mut queues) = queues();
        let turns = [Turn::new(), Turn::new()];
        let mut sending = tokio::task::JoinSet::new();
        for (number, turn) in (1..).zip(&turns) {
            let (outbox, turn) = (outbox.clone(), turn.clone());
            sending.spawn(async move {
                for _ in 0..3 {
                    assert!(outbox.stream(&turn, vec![number]).await);
                }
            });
            // What the stream has to send first waits now, and nothing else of it.
            tokio::task::yield_now().await;
        }
        let bye = Bye {
            reason: "receipts".to_owned(),
        };
        for _ in 0..BULK_QUEUED {
            let frame = Outgoing::frame(&ToControlPlane::Bye(bye.clone()));
            outbox.bulk().await.send(frame);
        }
        let mut order = Vec::new();
        for _ in 0..8 {
            let out = queues.next().await.unwrap();
            order.push(match &out.message {
                Message::Binary(bytes) => bytes[0],
                _ => 0,
            });
            drop(out);
            // Who had its turn queues for the next one.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(order, [1, 0, 2, 0, 1, 2, 1, 2]);
    }
}
