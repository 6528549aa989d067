//! [`Meter`]: takes the chunks of an answer, says what may be released and what must wait.
//!
//! Everything is released as it comes but for two things: the mark that makes a stream look finished is held
//! until the receipt is durable, and the usage event that the proxy itself asked for is taken out. Only in the
//! second case does a line wait for its end.

use super::dialect::{Dialect, Framing};
use super::event::{Event, Usage};
use super::lines::{LINE_BYTES, Lines, SseLine, TooLong, without_end};
use super::tally::{Ending, Measured, Tally};
use super::whole::Whole;
use bytes::Bytes;

/// Readings of one line that has no end yet, so that a line of brackets cannot cost square time.
const PARTIAL_READS: u32 = 16;

/// What a meter must know of the exchange.
#[derive(Debug, Clone)]
pub struct MeterSettings {
    /// Language of the answer.
    pub dialect: Dialect,
    /// How it is laid out.
    pub framing: Framing,
    /// Key of the output hash.
    pub hash_key: [u8; 32],
    /// Whether the proxy asked for a usage event that the client did not ask for.
    pub drop_usage_event: bool,
    /// Counts from the answer's headers.
    pub header_usage: Option<Usage>,
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

/// Reads one answer.
pub struct Meter {
    settings: MeterSettings,
    tally: Tally,
    lines: Lines,
    whole: Whole,
    /// Bytes of a line that has no end yet; used only while a usage event may have to be taken out.
    waiting: Vec<u8>,
    /// A JSON payload that goes on in the next `data:` line.
    unfinished: Vec<u8>,
    partial_reads: u32,
    drops: bool,
    drops_blank: bool,
    terminal: bool,
    gave_up: bool,
}

impl Meter {
    /// A meter at the start of an answer's body.
    pub fn new(settings: MeterSettings) -> Self {
        let mut tally = Tally::new(&settings.hash_key);
        if let Some(usage) = settings.header_usage {
            tally.add_usage(usage);
        }
        let drops = settings.drop_usage_event && settings.framing == Framing::Sse;
        Self {
            settings,
            tally,
            lines: Lines::default(),
            whole: Whole::default(),
            waiting: Vec::new(),
            unfinished: Vec::new(),
            partial_reads: 0,
            drops,
            drops_blank: false,
            terminal: false,
            gave_up: false,
        }
    }

    /// Takes the next chunk at `now_us` microseconds after the request's start.
    pub fn feed(&mut self, chunk: Bytes, now_us: u64) -> Release {
        if self.settings.framing == Framing::Json {
            self.whole.push(&chunk);
        }
        if !self.settings.framing.is_stream() || self.gave_up || self.terminal {
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

    /// Closes the answer. The bytes, if any, were waiting for the end of their line; they go to the client
    /// before the body ends.
    pub fn finish(mut self, ending: Ending, now_us: u64) -> (Measured, Bytes) {
        let waiting = std::mem::take(&mut self.waiting);
        let is_whole = match self.settings.framing {
            Framing::Json => self.read_whole(),
            Framing::Opaque => true,
            Framing::Sse | Framing::Ndjson => {
                let last = if self.drops {
                    waiting.clone()
                } else {
                    self.lines.take_partial()
                };
                if !self.terminal && ending == Ending::Complete {
                    self.line(without_end(&last), now_us);
                }
                self.terminal || self.gave_up || !self.settings.dialect.has_terminal_mark()
            }
        };
        let is_whole = is_whole && (ending == Ending::Complete || self.terminal);
        (self.tally.close(ending, is_whole), Bytes::from(waiting))
    }

    /// Whether the mark that ends the answer has come.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    fn feed_and_pass(&mut self, chunk: Bytes, now_us: u64) -> Release {
        let mut lines = std::mem::take(&mut self.lines);
        let mut hold_from = None;
        let mut ended = false;
        let fed = lines.feed(&chunk, |line, start| {
            ended = true;
            self.line(line, now_us);
            if self.terminal {
                hold_from = Some(start);
            }
            !self.terminal
        });
        self.lines = lines;
        if fed == Err(TooLong) {
            self.gave_up = true;
        }
        if ended {
            self.partial_reads = 0;
        }
        if hold_from.is_none() && self.partial_is_terminal(now_us) {
            hold_from = Some(chunk.len().saturating_sub(self.lines.partial().len()));
            self.lines.take_partial();
        }
        match hold_from {
            None => Release {
                pass: chunk,
                ..Release::default()
            },
            Some(at) => Release {
                pass: chunk.slice(..at),
                hold: Some(chunk.slice(at..)),
                ..Release::default()
            },
        }
    }

    /// Whether the line that has not ended already holds all of the terminal mark: a client that does not wait
    /// for line ends would take it for the end.
    fn partial_is_terminal(&mut self, now_us: u64) -> bool {
        let partial = self.lines.partial();
        let looks_whole = partial.ends_with(b"[DONE]")
            || (partial.ends_with(b"}") && self.settings.dialect != Dialect::OpenAi);
        if !looks_whole || self.partial_reads == PARTIAL_READS {
            return false;
        }
        self.partial_reads += 1;
        let payload = match self.settings.framing {
            Framing::Sse => match SseLine::read(partial) {
                SseLine::Data(payload) => payload,
                SseLine::Blank | SseLine::Other => return false,
            },
            _ => partial,
        };
        if is_done_mark(payload) {
            self.terminal = true;
            return true;
        }
        // Read into a scratch tally first: a line that is not the terminal one must not count twice.
        let mut scratch = Tally::new(&self.settings.hash_key);
        let Ok(event) = self.settings.dialect.read(payload, &mut scratch.output) else {
            return false;
        };
        if event.is_terminal {
            let payload = payload.to_vec();
            self.payload(&payload, now_us);
        }
        self.terminal
    }

    fn feed_and_drop(&mut self, chunk: Bytes, now_us: u64) -> Release {
        let chunk = if self.waiting.is_empty() {
            chunk
        } else {
            let mut glued = std::mem::take(&mut self.waiting);
            glued.extend_from_slice(&chunk);
            Bytes::from(glued)
        };
        let mut release = Release::default();
        let mut from = 0;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &chunk).map(|at| at + 1) {
            let line = without_end(&chunk[start..end]);
            let is_dropped = match self.line(line, now_us) {
                Some(event) if event.is_usage_only => {
                    self.drops_blank = true;
                    true
                }
                Some(_) => false,
                None => std::mem::take(&mut self.drops_blank) && line.is_empty(),
            };
            if is_dropped {
                release.append(chunk.slice(from..start));
                from = end;
            }
            if self.terminal {
                release.append(chunk.slice(from..start.max(from)));
                release.hold = Some(chunk.slice(start.max(from)..));
                return release;
            }
            start = end;
        }
        release.append(chunk.slice(from..start.max(from)));
        let rest = chunk.slice(start.max(from)..);
        if rest.len() > LINE_BYTES {
            self.gave_up = true;
            release.append(rest);
        } else {
            self.waiting = rest.to_vec();
        }
        release
    }

    /// Reads one line; returns its event if it was one.
    fn line(&mut self, line: &[u8], now_us: u64) -> Option<Event> {
        match self.settings.framing {
            Framing::Sse => match SseLine::read(line) {
                SseLine::Data(payload) => self.payload(payload, now_us),
                SseLine::Blank => {
                    self.unfinished.clear();
                    None
                }
                SseLine::Other => None,
            },
            _ if line.trim_ascii().is_empty() => None,
            _ => self.payload(line, now_us),
        }
    }

    fn payload(&mut self, payload: &[u8], now_us: u64) -> Option<Event> {
        if is_done_mark(payload) {
            self.terminal = true;
            return None;
        }
        let glued;
        let payload = if self.unfinished.is_empty() {
            payload
        } else {
            let mut whole = std::mem::take(&mut self.unfinished);
            whole.push(b'\n');
            whole.extend_from_slice(payload);
            glued = whole;
            glued.as_slice()
        };
        match self.settings.dialect.read(payload, &mut self.tally.output) {
            Ok(event) => {
                self.tally.add_event(&event, now_us);
                self.terminal |= event.is_terminal;
                Some(event)
            }
            Err(error) => {
                if error.is_eof() && payload.len() <= LINE_BYTES && !payload.is_empty() {
                    self.unfinished = payload.to_vec();
                }
                None
            }
        }
    }

    /// Reads the one JSON body; says whether it was whole.
    fn read_whole(&mut self) -> bool {
        let Some(body) = self.whole.body() else {
            if let Some(usage) = self.whole.usage_in_tail() {
                self.tally.add_usage(usage);
            }
            return true;
        };
        match self.settings.dialect.read(body, &mut self.tally.output) {
            Ok(event) => {
                self.tally.add_body(&event);
                true
            }
            Err(_) => false,
        }
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

fn is_done_mark(payload: &[u8]) -> bool {
    payload.trim_ascii() == b"[DONE]"
}
