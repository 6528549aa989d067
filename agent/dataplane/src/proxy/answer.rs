//! The body that a client gets: the runtime's bytes as they come, with the end held until the receipt is durable.
//!
//! What is held: the terminal mark of a stream; else the last piece of a body whose length is known, or that is for
//! a client of HTTP/1.0, which knows no other end than that of the connection; else the end of the body itself. If the receipt cannot be recorded the held bytes are dropped and the connection is cut, so
//! that the client sees an answer that did not finish.

use super::in_flight::{InFlightRequest, Recording};
use super::upstream::AnswerBody;
use crate::sink::SinkError;
use bytes::Bytes;
use dgon_agent_core::meter::{Ending, Meter, Tail};
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Why an answer was cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// The runtime's connection broke.
    #[error("the runtime closed the connection inside its answer")]
    Broken(#[source] hyper::Error),
    /// The runtime went silent.
    #[error("the runtime sent nothing for too long")]
    Stalled,
    /// The runtime went on after the end of its answer, where no receipt tells of it.
    #[error("the runtime went on after the end of its answer")]
    GoesOn,
    /// No receipt, no end.
    #[error("the receipt could not be recorded")]
    NotRecorded(#[source] SinkError),
}

/// The body of an answer.
pub(super) struct Answer(Kind);

enum Kind {
    /// The proxy's own words.
    Own(Bytes),
    /// A runtime's.
    Passed(Box<Passed>),
}

struct Passed {
    upstream: AnswerBody,
    /// Present while the receipt is open.
    measuring: Option<Measuring>,
    /// Present once the mark that ends the answer has come: what may follow it.
    tail: Option<Tail>,
    recording: Option<Recording>,
    /// Bytes that may go out.
    ready: VecDeque<Bytes>,
    /// Bytes that wait for the receipt.
    held: VecDeque<Bytes>,
    end: Option<End>,
    /// Whether what was given out has had its chance to leave before the cut.
    is_flushed: bool,
    stall: Stall,
    /// Whether the latest piece waits for the next one or the receipt.
    hold_last: bool,
}

/// What measures an answer.
pub(super) struct Measuring {
    pub(super) meter: Meter,
    pub(super) in_flight: InFlightRequest,
    /// Whether the status was an error's.
    pub(super) status_failed: bool,
    /// Bytes to come, where the head said so.
    pub(super) bytes_left: Option<u64>,
}

enum End {
    Whole,
    Cut(AnswerError),
}

impl Answer {
    /// The proxy's own words.
    pub(super) fn own(body: impl Into<Bytes>) -> Self {
        Self(Kind::Own(body.into()))
    }

    /// Whether no runtime answered.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.0, Kind::Own(_))
    }

    /// A runtime's answer; measured where it is work.
    pub(super) fn passed(
        upstream: AnswerBody,
        measuring: Option<Measuring>,
        stall_limit: Duration,
        hold_last: bool,
    ) -> Self {
        Self(Kind::Passed(Box::new(Passed {
            upstream,
            measuring,
            tail: None,
            recording: None,
            ready: VecDeque::new(),
            held: VecDeque::new(),
            end: None,
            is_flushed: false,
            stall: Stall::new(stall_limit),
            hold_last,
        })))
    }
}

impl Passed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AnswerError>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if let Some(recording) = &mut self.recording {
                let recorded = ready!(Pin::new(recording).poll(cx));
                self.recording = None;
                match recorded {
                    Ok(_) => self.ready.append(&mut self.held),
                    Err(error) => {
                        self.held.clear();
                        self.upstream.cancel();
                        self.end = Some(End::Cut(AnswerError::NotRecorded(error)));
                    }
                }
                continue;
            }
            match self.end.take() {
                Some(End::Whole) => {
                    self.end = Some(End::Whole);
                    return Poll::Ready(None);
                }
                Some(End::Cut(error)) if self.is_flushed => {
                    self.end = Some(End::Whole);
                    return Poll::Ready(Some(Err(error)));
                }
                Some(cut) => {
                    // An error takes with it what was given out just before; a pause lets that leave first.
                    self.end = Some(cut);
                    self.is_flushed = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => {}
            }
            match self.upstream.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.stall.progress();
                    self.take(data);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.close(Ending::Broken, End::Cut(AnswerError::Broken(error)));
                }
                Poll::Ready(None) => self.close(Ending::Complete, End::Whole),
                Poll::Pending => {
                    ready!(self.stall.poll(cx));
                    self.upstream.cancel();
                    self.close(Ending::Stalled, End::Cut(AnswerError::Stalled));
                }
            }
        }
    }

    /// Takes a piece of the runtime's answer.
    fn take(&mut self, data: Bytes) {
        // In place: the meter holds a hash's state, and moving that for every token would cost more than the rest.
        let Some(measuring) = &mut self.measuring else {
            let may_pass = match &mut self.tail {
                Some(tail) => tail.admit(&data),
                None => data.len(),
            };
            if may_pass > 0 {
                self.ready.push_back(data.slice(..may_pass));
            }
            self.cut_what_goes_on();
            return;
        };
        let now_us = measuring.in_flight.elapsed_us();
        if let Some(left) = &mut measuring.bytes_left {
            *left = left.saturating_sub(data.len() as u64);
        }
        let is_last = measuring.bytes_left == Some(0);
        let release = measuring.meter.feed(data, now_us);
        let terminal = release.hold.is_some();
        self.tail = measuring.meter.tail();
        if self.hold_last {
            self.ready.append(&mut self.held);
        }
        let out = if (is_last || self.hold_last) && !terminal {
            &mut self.held
        } else {
            &mut self.ready
        };
        out.extend(
            [release.pass, release.then]
                .into_iter()
                .filter(|part| !part.is_empty()),
        );
        self.held.extend(release.hold);
        if is_last || terminal {
            self.finish(Ending::Complete);
            self.cut_what_goes_on();
        }
    }

    /// Ends an answer that goes on after its end, when what came until there is out.
    fn cut_what_goes_on(&mut self) {
        if self.tail.is_some_and(|tail| tail.is_over()) {
            self.upstream.cancel();
            self.end = Some(End::Cut(AnswerError::GoesOn));
        }
    }

    /// The runtime's answer is over.
    fn close(&mut self, ending: Ending, end: End) {
        self.end = Some(end);
        self.finish(ending);
    }

    /// Ends the measuring, once, and starts to record what it came to.
    fn finish(&mut self, ending: Ending) {
        let Some(measuring) = self.measuring.take() else {
            return;
        };
        let (measured, waiting) = measuring.meter.finish(ending);
        if !waiting.is_empty() {
            self.held.push_back(waiting);
        }
        self.recording = Some(
            measuring
                .in_flight
                .conclude(measured, measuring.status_failed),
        );
    }
}

impl Drop for Passed {
    /// The client went away before the end.
    fn drop(&mut self) {
        if self.measuring.is_some() && tokio::runtime::Handle::try_current().is_ok() {
            self.finish(Ending::ClientGone);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        match &mut self.get_mut().0 {
            Kind::Own(body) if body.is_empty() => Poll::Ready(None),
            Kind::Own(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Kind::Passed(passed) => passed
                .poll(cx)
                .map(|piece| piece.map(|p| p.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Own(body) => body.is_empty(),
            Kind::Passed(passed) => {
                passed.measuring.is_none()
                    && passed.recording.is_none()
                    && passed.ready.is_empty()
                    && match passed.end {
                        None => passed.upstream.is_empty(),
                        Some(End::Whole) => true,
                        Some(End::Cut(_)) => false,
                    }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Own(body) => SizeHint::with_exact(body.len() as u64),
            Kind::Passed(_) => SizeHint::default(),
        }
    }
}

/// Notices silence. The timer is set once and moved on only when it goes off.
struct Stall {
    limit: Duration,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: Instant::now(),
            timer: None,
        }
    }

    fn progress(&mut self) {
        self.since = Instant::now();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let due = self.since + self.limit;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}
