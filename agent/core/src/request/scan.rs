//! The members of a JSON object, one pass over any chunking of it, without a tree.
//!
//! It is as forgiving as the most forgiving server: numbers such as `NaN`, commas at the end, control characters in
//! strings and bytes after the object do not stop it. It keeps the last value of each watched member, as servers do,
//! twice: by its exact name, and by its name without regard to case, as Go reads it.

use std::ops::Range;

/// Longest name of a member that is compared, bytes as written.
const KEY_BYTES: usize = 128;

/// The value of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// The text; `None` where it is longer than the scan keeps.
    pub(super) text: Option<Vec<u8>>,
    /// Its first byte.
    pub(super) first: u8,
    /// Where it stands.
    pub(super) at: Range<usize>,
}

/// A watched member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Member {
    /// The last value under the exact name.
    pub(super) exact: Option<Value>,
    /// The last value under the name in any case. A `null` replaces no value before it, as Go has it.
    pub(super) folded: Option<Value>,
    /// How often the name came, in any case.
    pub(super) times: u32,
}

/// What a scan came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned<const N: usize> {
    pub(super) members: [Member; N],
    /// Whether the object came to its end.
    pub(super) is_whole: bool,
    /// Where its closing brace stands.
    pub(super) close_at: usize,
    /// Whether it has any member.
    pub(super) has_members: bool,
    /// Whether anything but white space came after it.
    pub(super) has_more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    BeforeKey,
    Key { escaped: bool },
    AfterKey,
    BeforeValue,
    String { escaped: bool },
    Nested { depth: usize },
    NestedString { depth: usize, escaped: bool },
    Scalar,
    AfterValue,
    Done,
    Bad,
}

/// The scan.
pub(super) struct Scanner<const N: usize> {
    watched: [&'static str; N],
    value_bytes: usize,
    state: State,
    offset: usize,
    /// The name as written; longer ones are no watched ones.
    key: Vec<u8>,
    is_key_long: bool,
    /// The watched members that the name means: exact and in any case.
    means: Option<(usize, bool)>,
    value: Vec<u8>,
    is_value_long: bool,
    value_at: usize,
    out: Scanned<N>,
}

impl<const N: usize> Scanner<N> {
    /// A scan for members of these names, lower case, whose values are kept up to `value_bytes`.
    pub(super) fn new(watched: [&'static str; N], value_bytes: usize) -> Self {
        Self {
            watched,
            value_bytes,
            state: State::Start,
            offset: 0,
            key: Vec::new(),
            is_key_long: false,
            means: None,
            value: Vec::new(),
            is_value_long: false,
            value_at: 0,
            out: Scanned {
                members: std::array::from_fn(|_| Member::default()),
                is_whole: false,
                close_at: 0,
                has_members: false,
                has_more: false,
            },
        }
    }

    /// Scans more bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let used = match self.state {
                State::Bad => return,
                State::Done => {
                    self.out.has_more |= bytes.iter().any(|byte| !is_space(*byte));
                    return;
                }
                State::Key { escaped } => self.in_key(bytes, escaped),
                State::String { escaped } => {
                    let (used, escaped, ended) = skip_string(bytes, escaped);
                    self.keep(&bytes[..used]);
                    self.state = State::String { escaped };
                    if ended {
                        self.end_value(self.offset + used);
                    }
                    used
                }
                State::NestedString { depth, escaped } => {
                    let (used, escaped, ended) = skip_string(bytes, escaped);
                    self.keep(&bytes[..used]);
                    self.state = if ended {
                        State::Nested { depth }
                    } else {
                        State::NestedString { depth, escaped }
                    };
                    used
                }
                State::Nested { depth } => self.in_nested(bytes, depth),
                State::Scalar => self.in_scalar(bytes),
                _ if is_space(byte) => 1,
                _ => {
                    self.between(byte);
                    1
                }
            };
            self.offset += used;
            bytes = &bytes[used..];
        }
    }

    /// What it came to.
    pub(super) fn finish(self) -> Scanned<N> {
        self.out
    }

    /// A byte outside of names and values.
    fn between(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Start, b'{') | (State::AfterValue, b',') | (State::BeforeKey, b',') => {
                State::BeforeKey
            }
            (State::BeforeKey | State::AfterValue, b'}') => {
                self.out.is_whole = true;
                self.out.close_at = self.offset;
                State::Done
            }
            (State::BeforeKey, b'"') => {
                self.key.clear();
                self.is_key_long = false;
                State::Key { escaped: false }
            }
            (State::AfterKey, b':') => State::BeforeValue,
            (State::BeforeValue, b'"') => self.begin_value(byte, State::String { escaped: false }),
            (State::BeforeValue, b'{' | b'[') => self.begin_value(byte, State::Nested { depth: 1 }),
            (State::BeforeValue, _) if is_scalar(byte) => self.begin_value(byte, State::Scalar),
            _ => State::Bad,
        };
    }

    fn in_key(&mut self, bytes: &[u8], escaped: bool) -> usize {
        let (used, escaped, ended) = skip_string(bytes, escaped);
        let part = &bytes[..used - usize::from(ended)];
        if self.key.len() + part.len() > KEY_BYTES {
            self.is_key_long = true;
        } else {
            self.key.extend_from_slice(part);
        }
        self.state = State::Key { escaped };
        if ended {
            self.out.has_members = true;
            self.means = self.meaning();
            self.state = State::AfterKey;
        }
        used
    }

    /// The watched member that the name means, and whether it is written exactly so.
    fn meaning(&self) -> Option<(usize, bool)> {
        if self.is_key_long {
            return None;
        }
        // Nearly all names are plain, and those need no copy.
        if self.key.is_ascii() && !self.key.contains(&b'\\') {
            let mut names = self.watched.iter().map(|name| name.as_bytes());
            let at = names.position(|name| name.eq_ignore_ascii_case(&self.key))?;
            return Some((at, self.watched[at].as_bytes() == self.key));
        }
        let key = unescape(&self.key)?;
        let folded: String = key.chars().map(fold).collect();
        let at = self.watched.iter().position(|name| *name == folded)?;
        Some((at, self.watched.get(at).is_some_and(|name| *name == key)))
    }

    fn in_nested(&mut self, bytes: &[u8], mut depth: usize) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'"' => {
                    self.keep(&bytes[..=at]);
                    self.state = State::NestedString {
                        depth,
                        escaped: false,
                    };
                    return at + 1;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.keep(&bytes[..=at]);
                self.end_value(self.offset + at + 1);
                return at + 1;
            }
        }
        self.keep(bytes);
        self.state = State::Nested { depth };
        bytes.len()
    }

    fn in_scalar(&mut self, bytes: &[u8]) -> usize {
        let used = bytes
            .iter()
            .position(|byte| !is_scalar(*byte))
            .unwrap_or(bytes.len());
        self.keep(&bytes[..used]);
        if used < bytes.len() {
            self.end_value(self.offset + used);
        }
        used
    }

    fn begin_value(&mut self, first: u8, state: State) -> State {
        self.value.clear();
        self.is_value_long = false;
        self.value_at = self.offset;
        self.keep(&[first]);
        state
    }

    fn keep(&mut self, part: &[u8]) {
        if self.means.is_none() {
        } else if self.value.len() + part.len() > self.value_bytes {
            self.is_value_long = true;
        } else {
            self.value.extend_from_slice(part);
        }
    }

    fn end_value(&mut self, end: usize) {
        self.state = State::AfterValue;
        let Some((at, is_exact)) = self.means.take() else {
            return;
        };
        let Some(member) = self.out.members.get_mut(at) else {
            return;
        };
        let value = Value {
            text: (!self.is_value_long).then(|| self.value.clone()),
            first: self.value.first().copied().unwrap_or_default(),
            at: self.value_at..end,
        };
        member.times = member.times.saturating_add(1);
        if is_exact {
            member.exact = Some(value.clone());
        }
        if self.value != b"null" || member.folded.is_none() {
            member.folded = Some(value);
        }
    }
}

/// The string that stands between two quotes.
pub(super) fn unescape(written: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(written);
    if !text.contains('\\') {
        return Some(text.into_owned());
    }
    serde_json::from_str(&format!("\"{text}\"")).ok()
}

/// Skips to the end of a string: how many bytes, whether the next one is escaped, whether the quote came.
fn skip_string(bytes: &[u8], escaped: bool) -> (usize, bool, bool) {
    let mut from = usize::from(escaped);
    while let Some(found) = bytes
        .get(from..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        let at = from + found;
        if bytes[at] == b'"' {
            return (at + 1, false, true);
        }
        if at + 1 == bytes.len() {
            return (at + 1, true, false);
        }
        from = at + 2;
    }
    (bytes.len(), false, false)
}

/// One letter without its case, as Go compares names: two letters beyond ASCII are spellings of `k` and `s`.
fn fold(letter: char) -> char {
    match letter {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        other => other.to_ascii_lowercase(),
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What numbers, `true`, `null`, `NaN` and their like are made of.
const fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(text: &[u8], step: usize) -> Scanned<2> {
        let mut scanner = Scanner::new(["model", "keys"], 64);
        for piece in text.chunks(step) {
            scanner.feed(piece);
        }
        scanner.finish()
    }

    fn model(text: &str) -> (Option<String>, Option<String>) {
        let scanned = scan(text.as_bytes(), usize::MAX);
        let [model, _] = scanned.members;
        let text =
            |value: Option<Value>| value.map(|v| String::from_utf8(v.text.unwrap()).unwrap());
        (text(model.exact), text(model.folded))
    }

    #[test]
    fn the_last_value_of_a_member_wins() {
        let both = |value: &str| (Some(value.to_owned()), Some(value.to_owned()));
        for (text, value) in [
            (r#"{"model":"a"}"#, r#""a""#),
            (r#" { "model" : "a" , "model":"b" } "#, r#""b""#),
            (
                r#"{"x":{"model":"z"},"y":[{"model":"}"}],"model":"a"}"#,
                r#""a""#,
            ),
            (r#"{"x":"\"model\":\"z\"\\","model":"a"}"#, r#""a""#),
            (r#"{"mod\u0065l":"a"}"#, r#""a""#),
            (r#"{"t":NaN,"u":-Infinity,"model":"a",}"#, r#""a""#),
            (r#"{,"model":{"a":[1,"]"]}}"#, r#"{"a":[1,"]"]}"#),
            ("{\"x\":\"a\nb\",\"model\":7}", "7"),
            (r#"{"model":"a"}garbage{"model":"b"}"#, r#""a""#),
        ] {
            assert_eq!(model(text), both(value), "{text}");
            assert!(scan(text.as_bytes(), 1).is_whole, "{text}");
        }
    }

    #[test]
    fn names_in_another_case_count_where_case_does_not() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(model(r#"{"Model":"a"}"#), (None, some("\"a\"")));
        assert_eq!(
            model(r#"{"model":"a","MODEL":"b"}"#),
            (some("\"a\""), some("\"b\""))
        );
        assert_eq!(
            model(r#"{"model":"a","model":null}"#),
            (some("null"), some("\"a\""))
        );
        let scanned = scan("{\"\u{212a}ey\u{17f}\":1,\"keys\":2}".as_bytes(), 3);
        assert_eq!(scanned.members[1].times, 2);
    }

    #[test]
    fn what_is_no_object_is_not_whole() {
        for text in [
            "",
            "[]",
            "7",
            "{",
            r#"{"model""#,
            r#"{"model":"#,
            r#"{"model":"a""#,
            r#"{"model":"a" "b":1}"#,
            r#"{'model':'a'}"#,
            r#"{/* */"model":"a"}"#,
            r#"{"a":[}"#,
        ] {
            assert!(!scan(text.as_bytes(), usize::MAX).is_whole, "{text}");
        }
        assert!(scan(b"{} x", 2).has_more && !scan(b"{} \n", 1).has_more);
    }

    #[test]
    fn a_long_value_is_known_to_be_there_and_not_kept() {
        let text = format!("{{\"model\":\"{}\"}}", "x".repeat(100));
        let scanned = scan(text.as_bytes(), 7);
        let value = scanned.members[0].exact.clone().unwrap();
        assert_eq!((value.text, value.at), (None, 9..text.len() - 1));
        let key = format!("{{\"{}\":1}}", "model".repeat(100));
        assert_eq!(scan(key.as_bytes(), 9).members[0].times, 0);
    }

    proptest! {
        #[test]
        fn any_chunking_reads_the_same(text in r#"[{}\[\],:" \\a-eu0NMmodel]{0,60}"#, step in 1usize..9) {
            prop_assert_eq!(scan(text.as_bytes(), step), scan(text.as_bytes(), usize::MAX));
        }

        #[test]
        fn json_reads_as_a_parser_reads_it(
            before in proptest::collection::vec(("[a-z\"\\\\{}é]{0,6}", "[a-z\"\\\\{}\\[\\]é]{0,12}"), 0..6),
            name in "[a-z\"\\\\é/]{0,20}",
            step in 1usize..20,
        ) {
            let mut object = serde_json::Map::new();
            for (key, value) in before {
                object.insert(key, serde_json::json!([{"model": value}, value]));
            }
            object.insert("model".to_owned(), name.clone().into());
            let text = serde_json::to_vec(&object).unwrap();
            let scanned = scan(&text, step);
            let value = scanned.members[0].exact.clone().unwrap();
            prop_assert!(scanned.is_whole && !scanned.has_more);
            prop_assert_eq!(Some(text[value.at.clone()].to_vec()), value.text.clone());
            let written = &text[value.at.start + 1..value.at.end - 1];
            prop_assert_eq!(unescape(written), Some(name));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>, step in 1usize..9) {
            scan(&bytes, step);
        }
    }
}
