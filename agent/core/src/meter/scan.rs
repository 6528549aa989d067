//! A push-down reader of one JSON value that comes in pieces: constant memory, one pass, no look back.
//!
//! Only the objects and arrays that the dialect's [`schema`](super::schema) names are on the stack. Everything else is
//! skipped by counting brackets, strings by searching for their end. Numbers may be what Python makes of them (`NaN`).

use super::collect::Collector;
use super::schema::{Node, Place, Rule, Text};
use super::text::{Escapes, InlineBytes};
use memchr::memchr3;

/// Objects and arrays that are looked into at once. No dialect needs more.
const DEPTH: usize = 12;

/// How far a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    More,
    /// It is whole.
    Whole,
    /// It is no JSON.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value must begin.
    Value,
    /// A value, or the end of the array.
    FirstItem,
    /// A name, or the end of the object.
    FirstKey,
    Key,
    KeyText,
    Colon,
    AfterValue,
    /// In a number, or in `true`, `false`, `null`.
    Scalar,
    SkippedScalar,
    /// In a string that nobody wants.
    SkippedText,
    Word,
    Text(Text),
    /// Behind the bracket of what would be hashed as JSON: perhaps there is nothing in it.
    RawBegin(u8),
    Skipped,
    TextInSkipped,
}

#[derive(Clone, Copy)]
struct Frame {
    node: &'static Node,
    is_object: bool,
    /// Which item it is.
    position: u64,
}

/// Reads one JSON value.
pub(super) struct Scanner {
    state: State,
    root: &'static Node,
    stack: [Frame; DEPTH],
    depth: usize,
    /// For the value that begins or goes on.
    rule: Rule,
    /// Open brackets of what is skipped.
    skipped: u64,
    is_raw: bool,
    word: InlineBytes,
    escapes: Escapes,
    /// Behind a backslash in a text that is skipped.
    is_escaped: bool,
    /// Whether a line end inside a text is none: the value is one line.
    is_one_line: bool,
}

const SPACE: u8 = 1;
const ENDS_SCALAR: u8 = 2;
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    classes[b' ' as usize] = SPACE | ENDS_SCALAR;
    classes[b'\t' as usize] = SPACE | ENDS_SCALAR;
    classes[b'\n' as usize] = SPACE | ENDS_SCALAR;
    classes[b'\r' as usize] = SPACE | ENDS_SCALAR;
    classes[b',' as usize] = ENDS_SCALAR;
    classes[b']' as usize] = ENDS_SCALAR;
    classes[b'}' as usize] = ENDS_SCALAR;
    classes
};

const fn is_space(byte: u8) -> bool {
    CLASSES[byte as usize] & SPACE != 0
}

impl Scanner {
    pub(super) fn new(root: &'static Node) -> Self {
        let frame = Frame {
            node: root,
            is_object: true,
            position: 0,
        };
        Self {
            state: State::Value,
            root,
            stack: [frame; DEPTH],
            depth: 0,
            rule: Rule::Node(root),
            skipped: 0,
            is_raw: false,
            word: InlineBytes::new(),
            escapes: Escapes::new(),
            is_escaped: false,
            is_one_line: false,
        }
    }

    /// Begins another value.
    pub(super) fn start(&mut self, is_one_line: bool) {
        self.state = State::Value;
        self.depth = 0;
        self.rule = Rule::Node(self.root);
        self.is_raw = false;
        self.is_escaped = false;
        self.escapes = Escapes::new();
        self.is_one_line = is_one_line;
    }

    /// Takes more of the value; says how many bytes belong to it. A byte that cannot belong to it is not taken.
    pub(super) fn feed(&mut self, bytes: &[u8], into: &mut Collector) -> (usize, Progress) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let taken = match self.state {
                State::SkippedText | State::TextInSkipped => {
                    let from = at;
                    let goes_on = self.skip_text(bytes, &mut at);
                    if self.is_raw {
                        into.raw(&bytes[from..at]);
                    }
                    goes_on
                }
                State::Skipped => {
                    let from = at;
                    self.skip(bytes, &mut at);
                    if self.is_raw {
                        into.raw(&bytes[from..at]);
                    }
                    true
                }
                State::KeyText | State::Word | State::Text(_) => self.text(bytes, &mut at, into),
                State::Scalar | State::SkippedScalar => {
                    self.scalar(bytes, &mut at, into);
                    true
                }
                _ if is_space(byte) => {
                    at += 1;
                    true
                }
                State::Key | State::FirstKey if byte == b'"' => {
                    at += 1;
                    self.member(bytes, &mut at, into)
                }
                State::AfterValue if byte == b',' && self.is_in_object() => {
                    at += 1;
                    self.state = State::Key;
                    if bytes.get(at) == Some(&b'"') {
                        at += 1;
                        self.member(bytes, &mut at, into)
                    } else {
                        true
                    }
                }
                _ => {
                    at += 1;
                    self.structure(byte, into)
                }
            };
            if !taken {
                return (at - 1, Progress::Broken);
            }
            if self.depth == 0 && self.state == State::AfterValue {
                return (at, Progress::Whole);
            }
        }
        (at, Progress::More)
    }

    fn is_in_object(&self) -> bool {
        let around = self.stack.get(self.depth.wrapping_sub(1));
        around.is_some_and(|frame| frame.is_object)
    }

    /// Takes a byte between names and values; says whether it may stand there.
    fn structure(&mut self, byte: u8, into: &mut Collector) -> bool {
        match (self.state, byte) {
            (State::FirstKey, b'}') | (State::FirstItem, b']') => self.close(into),
            (State::Colon, b':') => self.state = State::Value,
            (State::AfterValue, b',') => {
                let Some(frame) = self.stack.get_mut(self.depth.wrapping_sub(1)) else {
                    return false;
                };
                frame.position += 1;
                self.rule = frame.node.items;
                self.state = State::Value;
            }
            (State::AfterValue, b'}' | b']') => {
                let open = self.stack.get(self.depth.wrapping_sub(1));
                if open.is_none_or(|frame| frame.is_object != (byte == b'}')) {
                    return false;
                }
                self.close(into);
            }
            (State::Value | State::FirstItem, b'{' | b'[') => self.open(byte, into),
            (State::Value | State::FirstItem, b'"') => self.begin_text(into),
            (State::Value | State::FirstItem, b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
                if self.depth > 0 =>
            {
                self.begin_scalar(byte);
            }
            (State::RawBegin(_), b'}' | b']') => self.state = State::AfterValue,
            (State::RawBegin(open), _) => {
                into.raw(&[open, byte]);
                self.is_raw = true;
                self.skipped = 1 + u64::from(matches!(byte, b'{' | b'['));
                self.state = if byte == b'"' {
                    State::TextInSkipped
                } else {
                    State::Skipped
                };
            }
            _ => return false,
        }
        true
    }

    fn open(&mut self, byte: u8, into: &mut Collector) {
        self.skipped = 1;
        self.is_raw = false;
        match self.rule {
            Rule::Node(node) if self.depth < DEPTH => {
                let is_object = byte == b'{';
                self.stack[self.depth] = Frame {
                    node,
                    is_object,
                    position: 0,
                };
                self.depth += 1;
                into.enter(node.place, is_object);
                self.rule = node.items;
                self.state = if is_object {
                    State::FirstKey
                } else {
                    State::FirstItem
                };
            }
            Rule::Raw => self.state = State::RawBegin(byte),
            rule => {
                into.skipped(rule);
                self.state = State::Skipped;
            }
        }
    }

    fn close(&mut self, into: &mut Collector) {
        self.depth = self.depth.saturating_sub(1);
        let frame = self.stack[self.depth];
        if frame.node.place != Place::Plain {
            into.leave(frame.node.place, self.position());
        }
        self.state = State::AfterValue;
    }

    /// Which item of its array the value at hand is.
    fn position(&self) -> u64 {
        let around = self.stack.get(self.depth.wrapping_sub(1));
        around.map_or(0, |frame| frame.position)
    }

    fn begin_text(&mut self, into: &mut Collector) {
        self.is_raw = false;
        self.state = match self.scalar_rule() {
            Rule::Text(text) if into.begin_text(text) => State::Text(text),
            Rule::Raw => State::Text(Text::Plain),
            Rule::Word(_) | Rule::Flag(_) => {
                self.word.clear();
                State::Word
            }
            _ => State::SkippedText,
        };
    }

    fn begin_scalar(&mut self, byte: u8) {
        self.state = match self.scalar_rule() {
            Rule::Skip => State::SkippedScalar,
            _ => {
                self.word.clear();
                self.word.push(&[byte]);
                State::Scalar
            }
        };
    }

    fn scalar_rule(&self) -> Rule {
        match self.rule {
            Rule::Node(node) => node.scalar,
            rule => rule,
        }
    }

    /// Reads a number or literal; its end is not taken.
    fn scalar(&mut self, bytes: &[u8], at: &mut usize, into: &mut Collector) {
        let rest = &bytes[*at..];
        let end = rest
            .iter()
            .position(|byte| CLASSES[usize::from(*byte)] & ENDS_SCALAR != 0);
        let part = &rest[..end.unwrap_or(rest.len())];
        *at += part.len();
        if self.state == State::Scalar {
            self.word.push(part);
        }
        if end.is_some() {
            if self.state == State::Scalar {
                into.scalar(self.scalar_rule(), &self.word);
            }
            self.state = State::AfterValue;
        }
    }

    /// Reads a member behind the quote of its name, as far as it goes without a turn of the loop.
    fn member(&mut self, bytes: &[u8], at: &mut usize, into: &mut Collector) -> bool {
        self.key(bytes, at);
        if self.state != State::Value {
            return true;
        }
        match bytes.get(*at) {
            Some(b'"') => {
                *at += 1;
                self.begin_text(into);
                self.state != State::SkippedText || self.skip_text(bytes, at)
            }
            Some(byte @ (b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')) => {
                *at += 1;
                self.begin_scalar(*byte);
                self.scalar(bytes, at, into);
                true
            }
            _ => true,
        }
    }

    /// Reads a name behind its quote: at once where all of it is there.
    fn key(&mut self, bytes: &[u8], at: &mut usize) {
        let rest = &bytes[*at..];
        let end = memchr3(b'"', b'\\', b'\n', rest);
        match end {
            Some(end) if rest[end] == b'"' => {
                self.named(&rest[..end]);
                *at += end + 1;
                if bytes.get(*at) == Some(&b':') {
                    *at += 1;
                    self.state = State::Value;
                }
            }
            _ => {
                self.word.clear();
                self.state = State::KeyText;
            }
        }
    }

    fn named(&mut self, name: &[u8]) {
        let frame = self.stack.get(self.depth.wrapping_sub(1));
        self.rule = frame.map_or(Rule::Skip, |frame| frame.node.member(name));
        self.state = State::Colon;
    }

    /// Reads on in a text that matters. Says whether it is one.
    fn text(&mut self, bytes: &[u8], at: &mut usize, into: &mut Collector) -> bool {
        let byte = bytes[*at];
        if self.escapes.is_inside() {
            *at += 1;
            let Some(decoded) = self.escapes.take(byte) else {
                return false;
            };
            self.give(decoded.bytes(), into);
            return true;
        }
        if self.escapes.is_halfway() && byte != b'\\' {
            let decoded = self.escapes.flush();
            self.give(decoded.bytes(), into);
        }
        let rest = &bytes[*at..];
        let end = memchr3(b'"', b'\\', b'\n', rest);
        let part = &rest[..end.unwrap_or(rest.len())];
        self.give(part, into);
        *at += part.len() + usize::from(end.is_some());
        match end.map(|end| rest[end]) {
            Some(b'"') => self.end_text(into),
            Some(b'\\') => self.escapes.begin(),
            Some(_) if self.is_one_line => return false,
            Some(_) => self.give(b"\n", into),
            None => {}
        }
        true
    }

    fn give(&mut self, part: &[u8], into: &mut Collector) {
        if part.is_empty() {
            return;
        }
        match self.state {
            State::Text(text) => into.text(text, part),
            _ => self.word.push(part),
        }
    }

    fn end_text(&mut self, into: &mut Collector) {
        match self.state {
            State::KeyText => {
                let frame = self.stack.get(self.depth.wrapping_sub(1));
                let name = self.word.whole();
                self.rule = frame
                    .zip(name)
                    .map_or(Rule::Skip, |(frame, name)| frame.node.member(name));
                self.state = State::Colon;
                return;
            }
            State::Text(text) => into.end_text(text),
            _ => into.word(self.scalar_rule(), &self.word),
        }
        self.state = State::AfterValue;
    }

    /// Skips a text up to its quote. Says whether it is one.
    fn skip_text(&mut self, bytes: &[u8], at: &mut usize) -> bool {
        if std::mem::take(&mut self.is_escaped) {
            *at += 1;
            return true;
        }
        let rest = &bytes[*at..];
        let Some(end) = memchr3(b'"', b'\\', b'\n', rest) else {
            *at = bytes.len();
            return true;
        };
        *at += end + 1;
        match rest[end] {
            b'"' if self.state == State::SkippedText => self.state = State::AfterValue,
            b'"' => self.state = State::Skipped,
            b'\\' => self.is_escaped = true,
            _ => return !self.is_one_line,
        }
        true
    }

    /// Skips up to the next text or to the end of what is skipped.
    fn skip(&mut self, bytes: &[u8], at: &mut usize) {
        while let Some(found) = next_structural(&bytes[*at..]) {
            *at += found + 1;
            match bytes[*at - 1] {
                b'"' => {
                    self.state = State::TextInSkipped;
                    return;
                }
                b'{' | b'[' => self.skipped = self.skipped.saturating_add(1),
                _ => self.skipped = self.skipped.saturating_sub(1),
            }
            if self.skipped == 0 {
                self.state = State::AfterValue;
                return;
            }
        }
        *at = bytes.len();
    }
}

const fn is_structural(byte: u8) -> bool {
    // Setting this bit makes square brackets curly ones.
    byte == b'"' || byte | 0x20 == b'{' || byte | 0x20 == b'}'
}

/// Where the next quote or bracket stands. Long runs of numbers are passed a block at a time.
fn next_structural(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let mut from = 0;
    for block in bytes.chunks_exact(BLOCK) {
        let any = block
            .iter()
            .fold(false, |any, byte| any | is_structural(*byte));
        if any {
            break;
        }
        from += BLOCK;
    }
    let found = bytes[from..].iter().position(|byte| is_structural(*byte));
    found.map(|found| from + found)
}
