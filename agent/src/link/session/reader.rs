//! Reads what the control plane sends, and hands it to whom it concerns. Waits for nothing but the network.

use super::Shared;
use crate::link::dial::Socket;
use crate::link::ended::Ended;
use crate::link::handshake::{unexpected, unreadable};
use crate::link::now_ms;
use crate::link::requests::Requests;
use crate::link::streams::{Streams, Taken};
use dgon_agent_core::error::chain;
use dgon_agent_core::link::{Cost, RateExceeded, RateLimiter};
use dgon_protocol::frame::{Ack, Incoming, NodeStatus, ToAgent};
use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_tungstenite::tungstenite::Message;

struct Reader {
    shared: Arc<Shared>,
    requests: Requests,
    streams: Streams,
    limiter: RateLimiter,
}

/// Reads until the session ends.
pub(super) async fn run(
    mut stream: SplitStream<Socket>,
    shared: Arc<Shared>,
    requests: Requests,
    streams: Streams,
) -> Ended {
    let mut reader = Reader {
        shared,
        requests,
        streams,
        limiter: RateLimiter::default(),
    };
    loop {
        let message = match stream.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Ended::failed(format!("the link broke ({error})")),
            None => return Ended::failed("the control plane closed the link"),
        };
        if let Err(ended) = reader.take(message) {
            return ended;
        }
        // The writer gets its turn between two frames, so that answers find room.
        tokio::task::yield_now().await;
    }
}

fn flood(flood: RateExceeded) -> Ended {
    Ended::fault(format!("the control plane is not listened to: {flood}"))
}

impl Reader {
    fn take(&mut self, message: Message) -> Result<(), Ended> {
        let now = self.shared.origin.elapsed();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.shared.heard_ms.store(now_ms, Ordering::Relaxed);
        let read_bytes = match &message {
            // Counted once it is known what they are of.
            Message::Binary(_) => 0,
            other => other.len(),
        };
        self.limiter.frame(now, read_bytes).map_err(flood)?;
        match message {
            Message::Text(text) => match ToAgent::decode(&text) {
                Ok(Incoming::Known(frame)) => {
                    self.limiter.cost(now, cost(&frame)).map_err(flood)?;
                    self.handle(frame)
                }
                Ok(Incoming::Unknown(_)) => {
                    self.count_unknown();
                    Ok(())
                }
                Err(error) => Err(unreadable(&error)),
            },
            Message::Binary(bytes) => {
                let taken = self.streams.take(&bytes);
                let taken = taken.map_err(|fault| Ended::fault(chain(&fault)))?;
                match taken {
                    // Bounded by the credit that it took.
                    Taken::Body => return Ok(()),
                    Taken::Open => self.limiter.cost(now, Cost::Open).map_err(flood)?,
                    Taken::Other => {}
                    Taken::Late => self.count_unknown(),
                }
                self.limiter.bytes(now, bytes.len()).map_err(flood)
            }
            Message::Close(_) => Err(Ended::failed("the control plane closed the link")),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    fn handle(&mut self, frame: ToAgent) -> Result<(), Ended> {
        match frame {
            ToAgent::Ack(ack) => return self.acknowledged(ack),
            ToAgent::Need(need) => self.shared.mailbox.need(&need),
            ToAgent::Status(node) => self.status(node),
            ToAgent::Probe(probe) => {
                if let Some(answer) = self.requests.probe(probe) {
                    self.shared.outbox.answer(&answer);
                }
            }
            ToAgent::Job(job) => {
                self.shared.outbox.answer(&self.requests.job(job));
            }
            // No job runs, so none can be given up.
            ToAgent::JobCancel(_) => {}
            ToAgent::Control(control) => self.requests.control(control),
            ToAgent::Keys(keys) => self.streams.keys(&keys),
            ToAgent::Error(error) => return Err(Ended::told(&error)),
            other @ (ToAgent::Challenge(_) | ToAgent::Welcome(_)) => {
                return Err(unexpected(&other, "anything but the handshake"));
            }
        }
        Ok(())
    }

    /// What was never sent cannot be acknowledged; a receipt would be trimmed that nobody has.
    fn acknowledged(&self, ack: Ack) -> Result<(), Ended> {
        let sent_seq = self.shared.has_sent();
        if ack.acked_seq > sent_seq {
            return Err(Ended::fault(format!(
                "the control plane acknowledges receipts up to {}, and {sent_seq} was the last that it can have; nothing \
                 of it is believed",
                ack.acked_seq
            )));
        }
        self.shared.mailbox.ack(ack);
        let told = |status: &mut super::LinkStatus| status.last_ack_ms = Some(now_ms());
        self.shared.status.send_modify(told);
        Ok(())
    }

    fn status(&self, node: NodeStatus) {
        let (status, reason) = (node.status, node.reason.clone());
        let is_news = self.shared.status.send_if_modified(|link| {
            let is_news = link.node.as_ref() != Some(&node);
            link.node = Some(node);
            is_news
        });
        if is_news && self.shared.log.may_tell() {
            tracing::info!(status = status.as_str(), %reason, "the node's status");
        }
    }

    /// Counted and never logged: a newer control plane may have many.
    fn count_unknown(&self) {
        let count = |status: &mut super::LinkStatus| status.unknown_frames += 1;
        self.shared.status.send_modify(count);
    }
}

fn cost(frame: &ToAgent) -> Cost {
    match frame {
        // Each is looked for among what is in flight.
        ToAgent::Ack(ack) if !ack.refused.is_empty() => Cost::Order,
        ToAgent::Need(_)
        | ToAgent::Status(_)
        | ToAgent::Probe(_)
        | ToAgent::Job(_)
        | ToAgent::Control(_)
        | ToAgent::Keys(_) => Cost::Order,
        ToAgent::Ack(_)
        | ToAgent::Challenge(_)
        | ToAgent::Welcome(_)
        | ToAgent::JobCancel(_)
        | ToAgent::Error(_) => Cost::Small,
    }
}
