//! How the events of an answer are laid out in its bytes, found out from the bytes alone.
//!
//! What comes first decides: a bracket begins JSON, one value or one a line; a field of server-sent events begins
//! those; anything else is text that is not read. Behind a JSON value server-sent events may follow (`data: [DONE]`
//! glued on by a gateway). Lines end as the SSE standard says: LF, CRLF, or CR alone. Nothing waits for the end of a
//! line, so a line may have any length.

use super::collect::Collector;
use super::counters::{Body, Counters, Ending, Measured};
use super::dialect::Dialect;
use super::scan::{Progress, Scanner};
use super::text::InlineBytes;
use memchr::{memchr, memchr2};

const DONE: &[u8] = b"[DONE]";
const BOM: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Nothing but blanks and so many bytes of a byte-order mark has come.
    Start(u8),
    /// At the beginning of a line.
    Line,
    /// In the name of a field.
    Name,
    /// Behind `data:`.
    Data,
    /// In a JSON value in a `data:` line.
    Payload,
    /// So many bytes of `[DONE]` have come.
    Done(u8),
    /// Behind `event:`.
    EventName,
    /// In what is left of a line.
    Rest,
    /// In a JSON value that stands in no line.
    Value,
    /// Behind such a value.
    Between,
    /// In a line that is neither JSON nor a field.
    Unread,
    /// In something that is not read at all.
    Text,
}

/// What some bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Part of a line.
    Line,
    /// The end of a line that says something.
    LineEnd,
    /// A line that is empty, which ends an event.
    Blank,
    /// The second half of a line end.
    LineFeed,
    /// No part of server-sent events.
    Outside,
}

/// What became of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is an event of the answer.
    Event,
    /// It has nothing but usage in it.
    UsageOnly,
    /// It is the mark that makes the answer look finished.
    Terminal,
}

/// The next few bytes, told apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// How many bytes; never 0.
    pub(super) used: usize,
    pub(super) role: Role,
    /// Whether a line or value begins with them; of a comment nothing begins.
    pub(super) begins: bool,
    /// Whether a payload ends with them.
    pub(super) outcome: Option<Outcome>,
}

/// Reads the bytes of an answer.
pub(super) struct Stream {
    at: At,
    scanner: Scanner,
    collector: Collector,
    pub(super) counters: Counters,
    name: InlineBytes,
    is_event_stream: bool,
    /// Whether a line ended with CR, so that an LF belongs to it.
    after_cr: bool,
    /// Whether `[DONE]` or a value is in a `data:` line.
    in_line: bool,
    /// A JSON value goes on in the next `data:` line.
    is_open: bool,
    /// The event at hand is called an error.
    is_error_event: bool,
    /// The event at hand has had a payload.
    had_payload: bool,
    is_sse: bool,
    is_unread: bool,
    is_terminal: bool,
    /// JSON values in no line, and whether the last one was whole.
    values: u64,
    is_value_whole: bool,
    last_byte: u8,
}

impl Stream {
    /// `is_event_stream` says what the head calls it; it matters where the first bytes could be anything.
    pub(super) fn new(dialect: Dialect, hash_key: &[u8; 32], is_event_stream: bool) -> Self {
        Self {
            at: At::Start(0),
            scanner: Scanner::new(dialect.schema()),
            collector: Collector::new(dialect, hash_key),
            counters: Counters::new(dialect),
            name: InlineBytes::new(),
            is_event_stream,
            after_cr: false,
            in_line: false,
            is_open: false,
            is_error_event: false,
            had_payload: false,
            is_sse: false,
            is_unread: false,
            is_terminal: false,
            values: 0,
            is_value_whole: false,
            last_byte: b'\n',
        }
    }

    /// What the answer came to.
    pub(super) fn close(self, ending: Ending, body: Body) -> Measured {
        self.counters.close(ending, body, &self.collector.output)
    }

    /// What has become of the answer so far, if it ends here.
    pub(super) fn body(&self) -> Body {
        let is_stream = self.is_sse || self.values > 1 || self.counters.has_pieces();
        let is_cut = self.is_open || matches!(self.at, At::Value | At::Payload | At::Done(_));
        // A text may end in its first line.
        let is_first_line = self.at == At::Name && !self.is_sse && self.values == 0;
        let is_text = self.at == At::Text || is_first_line && !self.is_event_stream;
        let is_whole = if is_text {
            true
        } else if self.is_sse {
            !is_cut && self.counters.is_over()
        } else if self.values == 0 || is_cut || !self.is_value_whole {
            false
        } else {
            !is_stream || self.counters.is_over()
        };
        Body {
            is_whole: self.is_terminal || is_whole,
            is_stream,
            is_unread: self.is_unread || is_cut || is_first_line,
            is_no_answer: false,
        }
    }

    /// Reads the next bytes, of which there is at least one.
    pub(super) fn step(&mut self, bytes: &[u8], now_us: u64) -> Step {
        let Some(&first) = bytes.first() else {
            return outside(0);
        };
        let is_end = matches!(first, b'\r' | b'\n');
        match self.at {
            At::Start(_) => self.start(bytes, now_us),
            At::Text => outside(bytes.len()),
            At::Line if is_end => self.end_of_empty_line(first),
            At::Line => self.line(bytes, now_us),
            At::Between => self.between(bytes, now_us),
            At::Value => self.value(bytes, false, now_us),
            At::Done(_) if !self.in_line => self.done(bytes, now_us),
            At::Unread => {
                let end = memchr(b'\n', bytes);
                if end.is_some() {
                    self.at = At::Between;
                }
                outside(end.map_or(bytes.len(), |end| end + 1))
            }
            _ if is_end => self.end_of_line(first),
            _ => self.in_line(bytes, false, now_us),
        }
    }

    fn start(&mut self, bytes: &[u8], now_us: u64) -> Step {
        let At::Start(marked) = self.at else {
            return outside(bytes.len());
        };
        let byte = bytes[0];
        if BOM.get(usize::from(marked)) == Some(&byte) {
            self.at = At::Start(marked + 1);
            return outside(1);
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => outside(1),
            b'{' | b'[' => self.begin_value(bytes, now_us),
            _ => {
                self.at = At::Line;
                self.line(bytes, now_us)
            }
        }
    }

    fn between(&mut self, bytes: &[u8], now_us: u64) -> Step {
        let is_gap = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x1e);
        let gap = bytes.iter().take_while(|byte| is_gap(byte)).count();
        if gap > 0 {
            return outside(gap);
        }
        match bytes[0] {
            b'{' | b'[' => self.begin_value(bytes, now_us),
            b'd' | b'e' | b'i' | b'r' | b':' => {
                self.at = At::Line;
                self.line(bytes, now_us)
            }
            _ => {
                self.at = At::Unread;
                outside(1)
            }
        }
    }

    fn begin_value(&mut self, bytes: &[u8], now_us: u64) -> Step {
        if bytes[0] == b'[' {
            self.in_line = false;
            self.at = At::Done(1);
            return Step {
                begins: true,
                ..outside(1)
            };
        }
        self.start_payload(At::Value);
        self.value(bytes, true, now_us)
    }

    fn start_payload(&mut self, at: At) {
        self.at = at;
        self.scanner.start(at == At::Value);
        self.collector.start();
    }

    fn value(&mut self, bytes: &[u8], begins: bool, now_us: u64) -> Step {
        let (used, progress) = self.scanner.feed(bytes, &mut self.collector);
        let before = match used.checked_sub(1) {
            Some(at) => bytes[at],
            None => self.last_byte,
        };
        let mut step = Step {
            begins,
            ..outside(used)
        };
        match progress {
            Progress::More => self.last_byte = before,
            Progress::Whole => {
                self.values += 1;
                self.is_value_whole = true;
                self.at = At::Between;
                step.outcome = Some(self.commit(now_us));
            }
            Progress::Broken => {
                self.is_unread = true;
                self.is_value_whole = false;
                // A line that breaks off before the next one begins costs itself alone.
                self.at = if before == b'\n' && bytes[used] == b'{' {
                    At::Between
                } else {
                    At::Unread
                };
                if used == 0 {
                    return self.step(bytes, now_us);
                }
            }
        }
        step
    }

    /// Reads on in what may be `[DONE]` or an array.
    fn done(&mut self, bytes: &[u8], now_us: u64) -> Step {
        let At::Done(matched) = self.at else {
            return outside(bytes.len());
        };
        let matched = usize::from(matched);
        let rest = &DONE[matched..];
        let same = rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        let step = Step {
            used: same,
            role: if self.in_line {
                Role::Line
            } else {
                Role::Outside
            },
            begins: false,
            outcome: None,
        };
        if same == rest.len() {
            self.is_terminal = true;
            self.had_payload = true;
            self.at = At::Rest;
            return Step {
                outcome: Some(Outcome::Terminal),
                ..step
            };
        }
        if same == bytes.len() {
            self.at = At::Done(u8::try_from(matched + same).unwrap_or(u8::MAX));
            return step;
        }
        if matched + same > 1 {
            self.is_unread = true;
            self.at = if self.in_line {
                At::Rest
            } else if self.values == 0 {
                At::Text
            } else {
                At::Unread
            };
        } else {
            self.start_payload(if self.in_line { At::Payload } else { At::Value });
            self.scanner.feed(b"[", &mut self.collector);
        }
        if same == 0 {
            self.step(bytes, now_us)
        } else {
            step
        }
    }

    fn end_of_empty_line(&mut self, byte: u8) -> Step {
        let is_line_feed = std::mem::take(&mut self.after_cr) && byte == b'\n';
        if !is_line_feed {
            self.after_cr = byte == b'\r';
            // An event whose payload is not whole is over all the same.
            self.is_unread |= self.is_open;
            self.is_open = false;
            self.is_error_event = false;
            self.had_payload = false;
        }
        Step {
            used: 1,
            role: if is_line_feed {
                Role::LineFeed
            } else {
                Role::Blank
            },
            begins: false,
            outcome: None,
        }
    }

    fn end_of_line(&mut self, byte: u8) -> Step {
        match self.at {
            At::EventName if self.name.bytes().trim_ascii() == b"error" => {
                self.is_error_event = true;
                if self.had_payload {
                    self.counters.add_error();
                }
            }
            At::Payload => self.is_open = true,
            At::Done(1) => {
                self.start_payload(At::Payload);
                self.scanner.feed(b"[", &mut self.collector);
                self.is_open = true;
            }
            At::Name if !self.is_sse => self.guess(),
            _ => {}
        }
        match self.at {
            At::Text => return outside(1),
            At::Unread => {
                self.at = At::Between;
                return outside(1);
            }
            _ => {}
        }
        self.at = At::Line;
        self.after_cr = byte == b'\r';
        Step {
            used: 1,
            role: Role::LineEnd,
            begins: false,
            outcome: None,
        }
    }

    /// Begins a line that is not empty.
    fn line(&mut self, bytes: &[u8], now_us: u64) -> Step {
        self.after_cr = false;
        self.in_line = true;
        if let Some(rest) = bytes.strip_prefix(b"data:")
            && rest
                .first()
                .is_some_and(|byte| !matches!(byte, b'\r' | b'\n'))
        {
            self.is_sse = true;
            self.at = At::Data;
            let step = self.in_line(rest, true, now_us);
            return Step {
                used: step.used + 5,
                ..step
            };
        }
        if bytes[0] == b':' {
            self.is_sse = true;
            self.at = At::Rest;
            return self.in_line(bytes, false, now_us);
        }
        self.name.clear();
        self.at = At::Name;
        self.in_line(bytes, true, now_us)
    }

    /// Reads on in a line, up to its end or to that of its payload.
    fn in_line(&mut self, bytes: &[u8], begins: bool, now_us: u64) -> Step {
        let line = &bytes[..memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len())];
        let mut used = 0;
        let mut outcome = None;
        while used < line.len() && outcome.is_none() {
            let rest = &line[used..];
            used += match self.at {
                At::Name => self.field_name(rest),
                At::Data => self.data(rest),
                At::Payload => {
                    let (taken, progress) = self.scanner.feed(rest, &mut self.collector);
                    outcome = self.progress(progress, now_us);
                    taken
                }
                At::Done(_) => {
                    let step = self.done(rest, now_us);
                    outcome = step.outcome;
                    step.used
                }
                At::EventName => {
                    self.name.push(rest);
                    rest.len()
                }
                _ => rest.len(),
            };
        }
        let role = match self.at {
            At::Text | At::Unread => Role::Outside,
            _ => Role::Line,
        };
        Step {
            used,
            role,
            begins,
            outcome,
        }
    }

    fn progress(&mut self, progress: Progress, now_us: u64) -> Option<Outcome> {
        match progress {
            Progress::More => None,
            Progress::Whole => {
                self.is_open = false;
                self.at = At::Rest;
                Some(self.commit(now_us))
            }
            Progress::Broken => {
                self.is_open = false;
                self.is_unread = true;
                self.at = At::Rest;
                None
            }
        }
    }

    fn field_name(&mut self, line: &[u8]) -> usize {
        let end = memchr(b':', line);
        self.name.push(&line[..end.unwrap_or(line.len())]);
        let Some(end) = end else {
            return line.len();
        };
        self.at = match self.name.whole() {
            Some(b"data") => At::Data,
            Some(b"event") => At::EventName,
            Some(b"id" | b"retry") => At::Rest,
            // Old versions of llama.cpp name the field after what it is.
            Some(b"error") => {
                self.is_error_event = true;
                At::Data
            }
            _ if self.is_sse => At::Rest,
            _ => {
                self.guess();
                return end + 1;
            }
        };
        self.is_sse = true;
        self.name.clear();
        end + 1
    }

    /// The first line, or one behind a JSON value, is no JSON and no field.
    fn guess(&mut self) {
        if self.values > 0 {
            self.at = At::Unread;
        } else if self.is_event_stream {
            self.is_sse = true;
            self.at = At::Rest;
        } else {
            self.is_unread = true;
            self.at = At::Text;
        }
    }

    fn data(&mut self, line: &[u8]) -> usize {
        if self.is_open {
            // The lines of one payload are joined by line ends.
            self.at = At::Payload;
            let (_, progress) = self.scanner.feed(b"\n", &mut self.collector);
            if progress == Progress::Broken {
                self.progress(progress, 0);
            }
            return usize::from(line[0] == b' ');
        }
        match line[0] {
            b' ' | b'\t' => {}
            b'{' => {
                self.start_payload(At::Payload);
                return 0;
            }
            b'[' => self.at = At::Done(1),
            _ => {
                self.is_unread = true;
                self.at = At::Rest;
            }
        }
        1
    }

    fn commit(&mut self, now_us: u64) -> Outcome {
        let mut event = self.collector.event();
        event.is_error |= self.is_error_event;
        self.had_payload = true;
        self.counters.add_event(&event, now_us);
        // One answer of several may be over before the next one begins.
        if event.is_terminal && self.counters.is_last() {
            self.is_terminal = true;
            Outcome::Terminal
        } else if event.is_usage_only && !event.is_error {
            Outcome::UsageOnly
        } else {
            Outcome::Event
        }
    }
}

const fn outside(used: usize) -> Step {
    Step {
        used,
        role: Role::Outside,
        begins: false,
        outcome: None,
    }
}
