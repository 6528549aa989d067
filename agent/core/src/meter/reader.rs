//! [`Meter`]: takes the chunks of an answer, says what may be released and what must wait.
//!
//! Everything is released as it comes but for two things: the mark that makes a stream look finished is held
//! until the receipt is durable, and the usage event that the proxy itself asked for is taken out. Only in the
//! second case does an event wait until it is known what it is.

use super::counters::{Body, Ending, Measured};
use super::dialect::{Dialect, Label};
use super::event::Usage;
use super::stream::{Outcome, Role, Step, Stream};
use super::tail::Tail;
use bytes::Bytes;

/// Longest event that waits to be known, bytes. A longer one passes, whatever is in it.
pub const HELD_BYTES: usize = 64 << 10;

/// What a meter must know of the exchange.
#[derive(Debug, Clone)]
pub struct MeterSettings {
    /// Language of the answer.
    pub dialect: Dialect,
    /// What the head of the answer says about its body.
    pub label: Label,
    /// Key of the output hash.
    pub hash_key: [u8; 32],
    /// Whether the proxy asked for a usage event that the client did not ask for.
    pub drop_usage_event: bool,
    /// Counts from the answer's headers.
    pub header_usage: Option<Usage>,
    /// How many answers the request asks for: its prompts, each `n` times. `None` where that is not surely known: then
    /// the end of one answer is never taken for the end of all.
    pub answers: Option<u32>,
}

/// What to do with the bytes at hand.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Goes to the client now.
    pub pass: Bytes,
    /// Goes to the client after `pass`: what follows an event that was taken out.
    pub then: Bytes,
    /// Goes to the client only when the receipt is durable. Present once per answer at most.
    pub hold: Option<Bytes>,
}

/// What happens to the bytes of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepAction {
    Pass,
    Wait,
    Drop,
}

/// What happens to the bytes that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disposition {
    /// They pass.
    Pass,
    /// They belong to an event of which it is not known what it is.
    Wait,
    /// They belong to an event that was too long to wait, so that all of it passes.
    PassEvent,
    /// They are left out, up to the end of their line.
    DropLine,
    /// The line end that may follow is left out, and so is an empty line.
    DropBlank,
    /// The second half of a line end, if it follows, is left out.
    DropLineFeed,
}

impl Disposition {
    /// What happens to the bytes of a step, and to those after it. `held` is the length of the event so far.
    fn judge(self, step: Step, held: usize) -> (StepAction, Self) {
        let is_usage = step.outcome == Some(Outcome::UsageOnly) && step.role == Role::Line;
        let is_end = matches!(step.role, Role::Blank | Role::Outside) || step.outcome.is_some();
        let is_first = step.begins && step.role == Role::Line;
        match (self, step.role) {
            (Self::DropLine, Role::LineEnd) => (StepAction::Drop, Self::DropBlank),
            (Self::DropLine, _) => (StepAction::Drop, Self::DropLine),
            (Self::DropBlank, Role::LineFeed) => (StepAction::Drop, Self::DropBlank),
            (Self::DropBlank, Role::Blank) => (StepAction::Drop, Self::DropLineFeed),
            (Self::DropLineFeed, Role::LineFeed) => (StepAction::Drop, Self::Pass),
            (Self::PassEvent, _) if is_end => (StepAction::Pass, Self::Pass),
            (Self::PassEvent, _) => (StepAction::Pass, Self::PassEvent),
            (Self::Wait, _) if held > HELD_BYTES && is_end => (StepAction::Pass, Self::Pass),
            (Self::Wait, _) if held > HELD_BYTES => (StepAction::Pass, Self::PassEvent),
            (Self::Wait, _) if is_usage => (StepAction::Drop, Self::DropLine),
            (Self::Wait, _) if is_end => (StepAction::Pass, Self::Pass),
            (Self::Wait, _) => (StepAction::Wait, Self::Wait),
            // What began in this very step.
            _ if is_first && held <= HELD_BYTES && is_usage => (StepAction::Drop, Self::DropLine),
            _ if is_first && !is_end && held <= HELD_BYTES => (StepAction::Wait, Self::Wait),
            _ if is_first && !is_end => (StepAction::Pass, Self::PassEvent),
            _ => (StepAction::Pass, Self::Pass),
        }
    }
}

/// Reads one answer.
pub struct Meter {
    label: Label,
    stream: Stream,
    /// Whether any byte came that was not read.
    has_unread: bool,
    /// Whether a usage event is to be taken out.
    drops: bool,
    disposition: Disposition,
    /// Length of the event that waits, with its part in the chunk at hand.
    held: usize,
    /// Earlier chunks' part of an event that waits.
    waiting: Vec<u8>,
    /// Once the mark that ends the answer has come: what may follow it.
    tail: Option<Tail>,
}

impl Meter {
    /// A meter at the start of an answer's body.
    pub fn new(settings: MeterSettings) -> Self {
        let is_event_stream = settings.label == Label::EventStream;
        let mut stream = Stream::new(settings.dialect, &settings.hash_key, is_event_stream);
        stream.counters.expect_answers(settings.answers);
        if let Some(usage) = settings.header_usage {
            stream.counters.add_usage(usage);
        }
        Self {
            label: settings.label,
            stream,
            has_unread: false,
            drops: settings.drop_usage_event,
            disposition: Disposition::Pass,
            held: 0,
            waiting: Vec::new(),
            tail: None,
        }
    }

    /// Takes the next chunk at `now_us` microseconds after the request's start.
    pub fn feed(&mut self, chunk: Bytes, now_us: u64) -> Release {
        if let Some(tail) = &mut self.tail {
            let may_pass = tail.admit(&chunk);
            return Release {
                pass: chunk.slice(..may_pass),
                ..Release::default()
            };
        }
        if !self.label.is_readable() {
            self.has_unread |= !chunk.is_empty() && self.label == Label::Encoded;
            return Release {
                pass: chunk,
                ..Release::default()
            };
        }
        if self.drops {
            self.feed_and_drop(chunk, now_us)
        } else {
            self.feed_and_pass(chunk, now_us)
        }
    }

    /// Closes the answer. The bytes, if any, were waiting for the end of their event; they go to the client
    /// before the body ends.
    pub fn finish(self, ending: Ending) -> (Measured, Bytes) {
        let mut body = match self.label {
            Label::Readable | Label::EventStream => self.stream.body(),
            Label::Encoded | Label::NoAnswer => Body {
                is_whole: true,
                is_stream: false,
                is_unread: self.has_unread,
                is_no_answer: self.label == Label::NoAnswer,
            },
        };
        body.is_whole &= ending == Ending::Complete || self.tail.is_some();
        (self.stream.close(ending, body), Bytes::from(self.waiting))
    }

    /// What may follow, once the mark that ends the answer has come. Nothing else may reach the client: it would be
    /// work that no receipt tells of.
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// The mark has come, and these bytes behind it: how many of them may pass.
    fn end(&mut self, behind: &[u8]) -> usize {
        let mut tail = Tail::default();
        let may_pass = tail.admit(behind);
        self.tail = Some(tail);
        may_pass
    }

    fn feed_and_pass(&mut self, chunk: Bytes, now_us: u64) -> Release {
        let mut at = 0;
        let mut begun = 0;
        while at < chunk.len() {
            let step = self.stream.step(&chunk[at..], now_us);
            if step.begins {
                begun = at;
            }
            at += step.used;
            if step.outcome == Some(Outcome::Terminal) {
                let end = at + self.end(&chunk[at..]);
                return Release {
                    pass: chunk.slice(..begun),
                    hold: Some(chunk.slice(begun..end)),
                    ..Release::default()
                };
            }
        }
        Release {
            pass: chunk,
            ..Release::default()
        }
    }

    fn feed_and_drop(&mut self, chunk: Bytes, now_us: u64) -> Release {
        let mut release = Release::default();
        // The chunk's bytes from here to the step at hand are neither released nor left out.
        let mut from = 0;
        let mut at = 0;
        while at < chunk.len() {
            let step = self.stream.step(&chunk[at..], now_us);
            let end = at + step.used;
            if step.outcome == Some(Outcome::Terminal) {
                let may_pass = end + self.end(&chunk[end..]);
                return self.hold(release, &chunk.slice(..may_pass), from, at);
            }
            if self.disposition != Disposition::Wait {
                self.held = 0;
            }
            self.held += step.used;
            let (now, next) = self.disposition.judge(step, self.held);
            match now {
                StepAction::Pass if self.disposition == Disposition::Wait => {
                    release.append(self.take_waiting())
                }
                StepAction::Pass => {}
                StepAction::Wait | StepAction::Drop if self.disposition == Disposition::Wait => {}
                StepAction::Wait | StepAction::Drop => {
                    release.append(chunk.slice(from..at));
                    from = at;
                }
            }
            if now == StepAction::Drop {
                self.waiting.clear();
                from = end;
            }
            self.disposition = next;
            at = end;
        }
        self.rest(release, chunk.slice(from..))
    }

    /// The answer looks finished with the step at `at`: its line is held, and what waits.
    fn hold(&mut self, mut release: Release, chunk: &Bytes, from: usize, at: usize) -> Release {
        let begun = if self.disposition == Disposition::Wait {
            from
        } else {
            at
        };
        release.append(chunk.slice(from..begun));
        let held = self.take_waiting();
        release.hold = Some(if held.is_empty() {
            chunk.slice(begun..)
        } else {
            [held.as_ref(), &chunk[begun..]].concat().into()
        });
        release
    }

    fn take_waiting(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.waiting))
    }

    /// Keeps or releases the end of a chunk.
    fn rest(&mut self, mut release: Release, rest: Bytes) -> Release {
        match self.disposition {
            Disposition::Pass | Disposition::PassEvent => release.append(rest),
            Disposition::Wait => self.waiting.extend_from_slice(&rest),
            Disposition::DropLine | Disposition::DropBlank | Disposition::DropLineFeed => {}
        }
        release
    }
}

impl Release {
    /// Adds bytes that go to the client now. Two parts stay as they are; a third is copied.
    fn append(&mut self, part: Bytes) {
        if part.is_empty() {
        } else if self.pass.is_empty() {
            self.pass = part;
        } else if self.then.is_empty() {
            self.then = part;
        } else {
            self.then = [self.then.as_ref(), part.as_ref()].concat().into();
        }
    }
}
