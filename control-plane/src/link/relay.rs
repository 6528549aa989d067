//! Relay frames among all that a node sends, and how fast they may come.
//!
//! Each costs a little whatever is in it, so a node that cuts its answers into single bytes, or sends for streams that are
//! over, could keep a thread busy. An honest one sends some tens of pieces a second for each stream that this control plane has
//! opened to it. So the pace grows with the streams: with one, 1,100 frames a second; with all 512, 52,200. What goes
//! beyond that is read later, and the node's socket fills; nothing is lost, and nobody else waits.

use super::wire::{End, Reader, Received, invalid};
use crate::relay::Streams;
use crate::socket::Pace;
use dgon_protocol::frame::{Incoming, ToControlPlane};
use std::time::Duration;
use tokio::time::Instant;

/// Frames a second that a session may send whatever is open.
const EVERY_SESSION: f64 = 1_000.0;
/// Frames a second for each open stream.
const EACH_STREAM: f64 = 100.0;
/// How long streams that have ended count: what was on its way for them comes.
const LATELY: Duration = Duration::from_secs(10);

/// The relay's part of the reading half.
pub(super) struct Relayed<'s> {
    streams: &'s Streams,
    pace: RelayPace,
}

impl<'s> Relayed<'s> {
    pub(super) const fn new(streams: &'s Streams) -> Self {
        Self {
            streams,
            pace: RelayPace::new(),
        }
    }

    /// The next text frame; relay frames go to their streams. Cancel-safe.
    pub(super) async fn receive(
        &mut self,
        reader: &mut Reader,
    ) -> Result<Box<Incoming<ToControlPlane>>, End> {
        loop {
            self.pace.ready().await;
            match reader.receive().await? {
                Received::Frame(frame) => return Ok(frame),
                Received::Relay(bytes) => {
                    let open = self.streams.receive(&bytes);
                    self.pace.spend(open.map_err(|fault| invalid(&fault))?);
                }
            }
        }
    }
}

/// The pace of one session, in seconds of what it may send.
#[derive(Debug)]
struct RelayPace {
    pace: Pace,
    /// As many streams as were open at once lately.
    streams: usize,
    /// When so many were open last.
    at: Option<Instant>,
}

impl RelayPace {
    const fn new() -> Self {
        Self {
            pace: Pace::new(1.0, 1.0),
            streams: 0,
            at: None,
        }
    }

    /// Waits until another frame may come.
    async fn ready(&mut self) {
        self.pace.ready().await;
    }

    /// Takes a frame, while so many streams are open.
    fn spend(&mut self, open: usize) {
        let now = Instant::now();
        let is_old = self.at.is_none_or(|at| now.duration_since(at) > LATELY);
        if open >= self.streams || is_old {
            (self.streams, self.at) = (open, Some(now));
        }
        let a_second = EVERY_SESSION + EACH_STREAM * self.streams as f64;
        self.pace.spend(1.0 / a_second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long so many frames take with so many streams open.
    async fn took(pace: &mut RelayPace, frames: usize, open: usize) -> Duration {
        let begin = Instant::now();
        for _ in 0..frames {
            pace.ready().await;
            pace.spend(open);
        }
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_session_sends_a_hundred_pieces_a_second_of_each_answer_and_waits_for_nothing() {
        let mut pace = RelayPace::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        let begin = ticks.tick().await;
        for _ in 0..200 {
            // One of each stream, a hundred times a second.
            assert_eq!(took(&mut pace, 512, 512).await, Duration::ZERO);
            ticks.tick().await;
        }
        assert_eq!(begin.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_with_one_stream_that_floods_is_read_at_the_pace_of_one() {
        let mut pace = RelayPace::new();
        let took = took(&mut pace, 11_000, 1).await;
        assert!(
            took > Duration::from_secs(8) && took < Duration::from_secs(10),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_on_its_way_for_streams_that_were_given_up_holds_nothing_up() {
        let mut pace = RelayPace::new();
        pace.spend(512);
        assert_eq!(took(&mut pace, 10_000, 0).await, Duration::ZERO);
        tokio::time::advance(LATELY * 2).await;
        let took = took(&mut pace, 10_000, 0).await;
        assert!(took > Duration::from_secs(8), "{took:?}");
    }
}
