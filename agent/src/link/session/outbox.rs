//! What waits to be sent, by urgency. Each queue is bounded; the writer takes the most urgent first.

use dgon_protocol::frame::ToControlPlane;
use dgon_protocol::limits::FRAMES_QUEUED;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Frames of receipts that wait: while one is being sent, the next is ready.
const BULK_QUEUED: usize = 2;

/// A message on its way to the writer.
pub(super) struct Outgoing {
    pub(super) message: Message,
    /// `seq` of the last receipt in it; 0 in all but frames of receipts.
    pub(super) sent_seq: u64,
}

impl Outgoing {
    fn new(message: Message) -> Self {
        Self {
            message,
            sent_seq: 0,
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
    bulk: mpsc::Sender<Outgoing>,
}

/// The ends at which the writer takes them out.
pub(super) struct Queues {
    urgent: mpsc::Receiver<Outgoing>,
    answers: mpsc::Receiver<Outgoing>,
    control: mpsc::Receiver<Outgoing>,
    bulk: mpsc::Receiver<Outgoing>,
}

pub(super) fn queues() -> (Outbox, Queues) {
    let (urgent, urgent_out) = mpsc::channel(FRAMES_QUEUED);
    let (answers, answers_out) = mpsc::channel(FRAMES_QUEUED);
    let (control, control_out) = mpsc::channel(FRAMES_QUEUED);
    let (bulk, bulk_out) = mpsc::channel(BULK_QUEUED);
    let outbox = Outbox {
        urgent,
        answers,
        control,
        bulk,
    };
    let queues = Queues {
        urgent: urgent_out,
        answers: answers_out,
        control: control_out,
        bulk: bulk_out,
    };
    (outbox, queues)
}

impl Outbox {
    /// A relay frame that steers a stream: cancel or window. `false` where there is no room: the peer does not read.
    pub(in crate::link) fn urgent(&self, relay: Vec<u8>) -> bool {
        let out = Outgoing::new(Message::binary(relay));
        self.urgent.try_send(out).is_ok()
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
        tokio::select! {
            biased;
            Some(out) = self.urgent.recv() => Some(out),
            Some(out) = self.answers.recv() => Some(out),
            Some(out) = self.control.recv() => Some(out),
            Some(out) = self.bulk.recv() => Some(out),
            else => None,
        }
    }
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
        let taken = (0..100).take_while(|_| outbox.urgent(vec![5])).count();
        assert_eq!(taken, FRAMES_QUEUED);
    }
}
