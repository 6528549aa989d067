//! Strict JSON in one pass, and RFC 8785 canonical bytes.
//!
//! The reader accepts the subset of I-JSON (RFC 7493) in which every document has one meaning and one
//! canonical form: no duplicate keys at any depth, no lone surrogates, only integers in plain digits within
//! ±(2^53−1). While it reads it notes whether the bytes already are canonical, so that a receiver of
//! canonical bytes never has to write them again.
//!
//! [`canonical_json`] is for what clients send, where numbers may be any: it writes the canonical bytes while it reads.
//!
//! Source of the canonical form: RFC 8785 sections 3.2.2 (strings, numbers) and 3.2.3 (order of keys by
//! UTF-16 code units).

mod general;
mod write;

pub use general::{canonical_json, write_number};
pub(crate) use write::cut_member;
use write::write_escaped;
pub use write::{canonical, canonical_without, write_string};

use crate::limits::INTEGER_MAX;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A JSON value of the strict subset. Strings borrow from the input where they hold no escape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer within ±(2^53−1).
    Int(i64),
    /// Text.
    Str(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object in the order of the input; keys are unique.
    Object(Vec<Member<'a>>),
}

/// One member of an object, with where it stands in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key, unescaped.
    pub key: Cow<'a, str>,
    /// The value.
    pub value: Value<'a>,
    /// Byte range in the input from the key's opening quote to the end of the value.
    pub span: (usize, usize),
}

/// A document and whether its bytes are already in RFC 8785 form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'a> {
    /// The root value.
    pub root: Value<'a>,
    /// True when the input equals [`canonical`] of the root.
    pub is_canonical: bool,
}

/// Why bytes are refused, with the byte offset where that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct StrictError {
    /// What is wrong.
    pub kind: StrictErrorKind,
    /// Offset into the input, in bytes.
    pub offset: usize,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StrictErrorKind {
    /// The input is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The input starts with a byte-order mark.
    #[error("a byte-order mark is not allowed")]
    ByteOrderMark,
    /// The grammar of JSON is broken, or the input ends early.
    #[error("not JSON")]
    Syntax,
    /// Bytes follow the one document.
    #[error("more than one document")]
    Trailing,
    /// A number is not an integer in plain digits.
    #[error("a number that is not a plain integer")]
    Number,
    /// An integer is outside ±(2^53−1).
    #[error("an integer beyond 2^53-1")]
    Range,
    /// Where fractions are allowed: a number is beyond what a double holds.
    #[error("a number beyond the range of a double")]
    NotFinite,
    /// A surrogate stands alone.
    #[error("a lone surrogate")]
    Surrogate,
    /// A key occurs twice in one object.
    #[error("a duplicate key")]
    DuplicateKey,
    /// Nesting is deeper than allowed.
    #[error("nested too deep")]
    Depth,
}

/// Reads exactly one document, at most `max_depth` levels deep (the root object or array is level 1).
///
/// # Errors
/// [`StrictError`] with the first thing that is wrong.
pub fn parse(input: &[u8], max_depth: usize) -> Result<Document<'_>, StrictError> {
    let mut reader = Reader::new(input, max_depth)?;
    reader.skip_space();
    let root = reader.value()?;
    reader.skip_space();
    if reader.at != input.len() {
        return Err(reader.fail(StrictErrorKind::Trailing));
    }
    Ok(Document {
        root,
        is_canonical: reader.is_canonical,
    })
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    max_depth: usize,
    is_canonical: bool,
}

type Parsed<T> = Result<T, StrictError>;

impl<'a> Reader<'a> {
    fn new(input: &'a [u8], max_depth: usize) -> Parsed<Self> {
        let fail = |kind, offset| StrictError { kind, offset };
        let text = std::str::from_utf8(input)
            .map_err(|e| fail(StrictErrorKind::NotUtf8, e.valid_up_to()))?;
        if text.starts_with('\u{feff}') {
            return Err(fail(StrictErrorKind::ByteOrderMark, 0));
        }
        Ok(Self {
            text,
            bytes: input,
            at: 0,
            depth: 0,
            max_depth,
            is_canonical: true,
        })
    }

    fn fail(&self, kind: StrictErrorKind) -> StrictError {
        StrictError {
            kind,
            offset: self.at,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.is_canonical = false;
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.fail(StrictErrorKind::Syntax))
        }
    }

    fn literal<T>(&mut self, word: &str, value: T) -> Parsed<T> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.fail(StrictErrorKind::Syntax))
        }
    }

    fn value(&mut self) -> Parsed<Value<'a>> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Value::Str),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.integer().map(Value::Int),
            _ => Err(self.fail(StrictErrorKind::Syntax)),
        }
    }

    /// Steps over the opening bracket of an object or array.
    fn enter(&mut self) -> Parsed<()> {
        if self.depth == self.max_depth {
            return Err(self.fail(StrictErrorKind::Depth));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn nested(&mut self, read: fn(&mut Self) -> Parsed<Value<'a>>) -> Parsed<Value<'a>> {
        self.enter()?;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Parsed<Value<'a>> {
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(Value::Array(items));
            }
            self.expect(b',')?;
            self.skip_space();
        }
    }

    fn object(&mut self) -> Parsed<Value<'a>> {
        let mut members: Vec<Member<'a>> = Vec::new();
        let mut sorted = true;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fail(StrictErrorKind::Syntax));
            }
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let value = self.value()?;
            if let Some(last) = members.last() {
                match cmp_utf16(&last.key, &key) {
                    Ordering::Less => {}
                    Ordering::Equal => {
                        return Err(StrictError {
                            kind: StrictErrorKind::DuplicateKey,
                            offset: start,
                        });
                    }
                    Ordering::Greater => sorted = false,
                }
            }
            members.push(Member {
                key,
                value,
                span: (start, self.at),
            });
            self.skip_space();
            if self.peek() == Some(b'}') {
                self.at += 1;
                break;
            }
            self.expect(b',')?;
            self.skip_space();
        }
        // Strictly rising keys cannot repeat; only an unsorted object needs the search.
        if !sorted {
            self.is_canonical = false;
            if let Some(offset) = duplicate(&members) {
                return Err(StrictError {
                    kind: StrictErrorKind::DuplicateKey,
                    offset,
                });
            }
        }
        Ok(Value::Object(members))
    }

    fn integer(&mut self) -> Parsed<i64> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits_at = self.at;
        let mut magnitude: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            // Stops growing far above the limit, so that no count of digits can overflow.
            if magnitude <= INTEGER_MAX {
                magnitude = magnitude * 10 + i64::from(digit - b'0');
            }
            self.at += 1;
        }
        let digits = &self.bytes[digits_at..self.at];
        let plain = !matches!(self.peek(), Some(b'.' | b'e' | b'E' | b'+' | b'-'));
        let negative = digits_at != start;
        if digits.is_empty()
            || !plain
            || (digits.len() > 1 && digits[0] == b'0')
            || (negative && magnitude == 0)
        {
            return Err(StrictError {
                kind: StrictErrorKind::Number,
                offset: start,
            });
        }
        if magnitude > INTEGER_MAX {
            return Err(StrictError {
                kind: StrictErrorKind::Range,
                offset: start,
            });
        }
        Ok(if negative { -magnitude } else { magnitude })
    }

    /// Reads a string; the cursor stands on its opening quote.
    fn string(&mut self) -> Parsed<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        let mut owned: Option<String> = None;
        let mut run = start;
        loop {
            match self.peek() {
                None | Some(0..=0x1f) => return Err(self.fail(StrictErrorKind::Syntax)),
                Some(b'"') => {
                    let tail = &self.text[run..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(tail),
                        Some(mut text) => {
                            text.push_str(tail);
                            Cow::Owned(text)
                        }
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_with(String::new);
                    text.push_str(&self.text[run..self.at]);
                    let escape_at = self.at;
                    let c = self.escape()?;
                    if self.is_canonical {
                        let mut shortest = String::with_capacity(6);
                        write_escaped(&mut shortest, c);
                        self.is_canonical = shortest.as_bytes() == &self.bytes[escape_at..self.at];
                    }
                    if let Some(text) = owned.as_mut() {
                        text.push(c);
                    }
                    run = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// Reads one escape; the cursor stands on the backslash.
    fn escape(&mut self) -> Parsed<char> {
        self.at += 1;
        let kind = self
            .peek()
            .ok_or_else(|| self.fail(StrictErrorKind::Syntax))?;
        self.at += 1;
        Ok(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.fail(StrictErrorKind::Syntax)),
        })
    }

    fn unicode_escape(&mut self) -> Parsed<char> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                if !self.bytes[self.at..].starts_with(b"\\u") {
                    return Err(self.fail(StrictErrorKind::Surrogate));
                }
                self.at += 2;
                let second = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.fail(StrictErrorKind::Surrogate));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.fail(StrictErrorKind::Surrogate))
    }

    fn hex4(&mut self) -> Parsed<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.fail(StrictErrorKind::Syntax))?;
            self.at += 1;
        }
        Ok(code)
    }
}

/// Offset of the second occurrence of a key that occurs twice.
fn duplicate(members: &[Member<'_>]) -> Option<usize> {
    let mut order: Vec<&Member<'_>> = members.iter().collect();
    order.sort_by(|a, b| a.key.cmp(&b.key));
    order
        .windows(2)
        .find(|pair| pair[0].key == pair[1].key)
        .map(|pair| pair[0].span.0.max(pair[1].span.0))
}

/// Order of keys in RFC 8785: by UTF-16 code units. Differs from byte order only above U+D7FF.
pub fn cmp_utf16(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        a.cmp(b)
    } else {
        a.encode_utf16().cmp(b.encode_utf16())
    }
}
