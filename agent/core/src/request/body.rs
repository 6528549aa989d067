//! The model and the stream that a request body asks for, as each family of servers reads it.
//!
//! Servers written in Go ignore the case of names and read `true` alone as true; those in Python, C++ and Rust want
//! the exact name, and Python's take `1` and `"yes"` for true as well. All take the last of several members. What
//! cannot be read says [`Model::Unclear`]: such a request is never work of some other model.

use super::form::{self, Field};
use super::inflate::ContentCoding;
use super::scan::{Scanned, Scanner, Value, unescape};
use super::text::Decoder;
use super::usage::Options;
use serde_json::value::RawValue;

/// Longest value of a member that is read, bytes: a model's name or the options of a stream.
pub const VALUE_BYTES: usize = 4096;

/// How a family of servers compares the names of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// As they are written: Python, C++, Rust.
    Exact,
    /// Without regard to case: Go.
    Folded,
}

/// The model that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// The body was read and names none.
    Absent,
    /// This one.
    Named(String),
    /// What the body says cannot be read.
    Unclear,
}

impl Model {
    /// The name, if it is known.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Absent | Self::Unclear => None,
        }
    }
}

/// What one family of servers reads in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    model: Model,
    stream: bool,
    options: Options,
    answers: Option<u32>,
}

/// A request body, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    exact: Reading,
    folded: Reading,
    /// Where a member may be added; `None` where the body is not plain text that was understood to the last byte.
    end: Option<End>,
}

/// The end of the one object of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Where its closing brace stands.
    pub(super) at: usize,
    /// Whether a member stands before it.
    pub(super) has_members: bool,
}

impl Body {
    /// Reads a body under its `content-type` and `content-encoding`. It never fails; what cannot be read is unclear.
    pub fn read(body: &[u8], content_type: Option<&str>, content_encoding: Option<&str>) -> Self {
        let content_type = content_type.unwrap_or_default();
        let coding = ContentCoding::of(content_encoding);
        if let Some(boundary) = form::boundary(content_type) {
            return match coding {
                ContentCoding::None => Self::of_form(form::read_parts(
                    body,
                    boundary,
                    ["model", "stream"],
                    VALUE_BYTES,
                )),
                _ => Self::unclear(),
            };
        }
        if coding == ContentCoding::None && form::is_line(content_type) && !looks_like_json(body) {
            return Self::of_form(form::read_line(body, ["model", "stream"], VALUE_BYTES));
        }
        Self::of_json(body, coding)
    }

    /// The model that servers of a family read.
    pub fn model(&self, keys: Keys) -> &Model {
        &self.reading(keys).model
    }

    /// Whether servers of a family read that a stream is asked for. Where servers differ, it is.
    pub fn is_stream(&self, keys: Keys) -> bool {
        self.reading(keys).stream
    }

    /// How many answers are asked for: each prompt has `n`. `None` where that is not surely known, as with a list of
    /// prompts longer than [`VALUE_BYTES`].
    pub fn answers(&self, keys: Keys) -> Option<u32> {
        self.reading(keys).answers
    }

    pub(super) fn options(&self, keys: Keys) -> &Options {
        &self.reading(keys).options
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    fn reading(&self, keys: Keys) -> &Reading {
        match keys {
            Keys::Exact => &self.exact,
            Keys::Folded => &self.folded,
        }
    }

    fn unclear() -> Self {
        let reading = Reading {
            model: Model::Unclear,
            stream: false,
            options: Options::Unclear,
            answers: None,
        };
        Self {
            exact: reading.clone(),
            folded: reading,
            end: None,
        }
    }

    fn of_form([model, stream]: [Field; 2]) -> Self {
        let reading = Reading {
            stream: stream.text().is_some_and(is_true_text),
            model: match model {
                Field::Absent => Model::Absent,
                Field::Text(name) => named(Some(name)),
                Field::Unclear => Model::Unclear,
            },
            options: Options::Unclear,
            answers: Some(1),
        };
        Self {
            exact: reading.clone(),
            folded: reading,
            end: None,
        }
    }

    fn of_json(body: &[u8], coding: ContentCoding) -> Self {
        let mut decoder = Decoder::default();
        let mut scanner = Scanner::new(
            ["model", "stream", "stream_options", "n", "n_cmpl", "prompt"],
            VALUE_BYTES,
        );
        let is_unpacked = coding.unpack(body, &mut |part| {
            decoder.feed(part, |text| scanner.feed(text));
        });
        decoder.finish(|text| scanner.feed(text));
        let scanned = scanner.finish();
        if !is_unpacked || !scanned.is_whole {
            return Self::unclear();
        }
        let is_plain = coding == ContentCoding::None && decoder.is_plain();
        let end = end(&scanned, is_plain);
        let [model, stream, options, n, n_cmpl, prompt] = scanned.members;
        let [exact_options, folded_options] = Options::read(&options);
        Self {
            exact: Reading {
                model: read_model(model.exact),
                stream: is_true(stream.exact.as_ref()),
                options: exact_options,
                answers: answers(
                    n.exact.as_ref(),
                    n_cmpl.exact.as_ref(),
                    prompt.exact.as_ref(),
                ),
            },
            folded: Reading {
                model: read_model(model.folded),
                stream: is_literal_true(stream.folded.as_ref()),
                options: folded_options,
                answers: answers(
                    n.folded.as_ref(),
                    n_cmpl.folded.as_ref(),
                    prompt.folded.as_ref(),
                ),
            },
            end,
        }
    }
}

/// Most answers that are told apart.
const ANSWERS: u32 = 128;

/// `None` where it is not surely known: servers read what they do not understand in ways of their own.
fn answers(n: Option<&Value>, n_cmpl: Option<&Value>, prompt: Option<&Value>) -> Option<u32> {
    let each = match (count(n)?, count(n_cmpl)?) {
        (Some(n), Some(other)) if n != other => return None,
        (n, other) => n.or(other).unwrap_or(1).max(1),
    };
    let all = each.checked_mul(prompts(prompt)?)?;
    (all <= ANSWERS).then_some(all)
}

/// A plain number; `Some(None)` where there is none.
fn count(value: Option<&Value>) -> Option<Option<u32>> {
    match value.map(|value| value.text.as_deref()) {
        None | Some(Some(b"null")) => Some(None),
        Some(text) => Some(Some(std::str::from_utf8(text?).ok()?.parse().ok()?)),
    }
}

fn prompts(value: Option<&Value>) -> Option<u32> {
    let Some(value) = value.filter(|value| value.first == b'[') else {
        return Some(1);
    };
    let list: Vec<&RawValue> = serde_json::from_slice(value.text.as_deref()?).ok()?;
    let is_one_of = |starts: &[char]| list.iter().all(|one| one.get().starts_with(starts));
    if is_one_of(&['"']) || is_one_of(&['[']) || is_one_of(&['{']) {
        u32::try_from(list.len())
            .ok()
            .filter(|prompts| *prompts > 0)
    } else if is_one_of(&['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        // A list of numbers is one prompt, as its tokens.
        Some(1)
    } else {
        None
    }
}

fn end<const N: usize>(scanned: &Scanned<N>, is_understood: bool) -> Option<End> {
    (is_understood && !scanned.has_more).then_some(End {
        at: scanned.close_at,
        has_members: scanned.has_members,
    })
}

fn looks_like_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start()
        .first()
        .is_some_and(|first| *first == b'{')
}

fn read_model(value: Option<Value>) -> Model {
    let Some(value) = value else {
        return Model::Absent;
    };
    match value.text.as_deref() {
        Some(b"null") => Model::Absent,
        Some([b'"', name @ .., b'"']) => named(unescape(name)),
        Some(_) | None => Model::Unclear,
    }
}

fn named(name: Option<String>) -> Model {
    match name {
        Some(name) if name.is_empty() => Model::Absent,
        Some(name) => Model::Named(name),
        None => Model::Unclear,
    }
}

/// What Python's servers take for true.
pub(super) fn is_true(value: Option<&Value>) -> bool {
    let text = value.and_then(|value| value.text.as_deref());
    match text {
        Some([b'"', text @ .., b'"']) => unescape(text).is_some_and(|text| is_true_text(&text)),
        Some(b"true") => true,
        Some(number) => std::str::from_utf8(number)
            .is_ok_and(|number| number.parse::<f64>().is_ok_and(|number| number == 1.0)),
        None => false,
    }
}

/// What Go's servers take for true.
pub(super) fn is_literal_true(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value.text.as_deref() == Some(b"true"))
}

fn is_true_text(text: &str) -> bool {
    ["true", "t", "1", "on", "yes", "y"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn read(body: &[u8]) -> Body {
        Body::read(body, Some("application/json"), None)
    }

    #[test]
    fn answers_are_counted_over_prompts_and_choices() {
        for (body, expected) in [
            (r#"{"model":"m"}"#, Some(1)),
            (r#"{"n":3}"#, Some(3)),
            (r#"{"n":0}"#, Some(1)),
            (r#"{"n":null}"#, Some(1)),
            (r#"{"n":3.0}"#, None),
            (r#"{"n":"3"}"#, None),
            (r#"{"n_cmpl":3}"#, Some(3)),
            (r#"{"n_cmpl":3,"n":2}"#, None),
            (r#"{"prompt":"one"}"#, Some(1)),
            (r#"{"prompt":["one","two"],"n":2}"#, Some(4)),
            (r#"{"prompt":[1,2,3]}"#, Some(1)),
            (r#"{"prompt":[[1,2],[3]]}"#, Some(2)),
            (r#"{"prompt":["a",1]}"#, None),
            (r#"{"n":4000000000}"#, None),
        ] {
            assert_eq!(
                read(body.as_bytes()).answers(Keys::Exact),
                expected,
                "{body}"
            );
        }
        let long = "x".repeat(2 * VALUE_BYTES);
        let one = format!(r#"{{"prompt":"{long}"}}"#);
        assert_eq!(read(one.as_bytes()).answers(Keys::Exact), Some(1));
        let list = format!(r#"{{"prompt":["{long}","b"]}}"#);
        assert_eq!(read(list.as_bytes()).answers(Keys::Exact), None);
    }

    fn model(body: &str) -> Option<String> {
        read(body.as_bytes())
            .model(Keys::Exact)
            .name()
            .map(str::to_owned)
    }

    #[test]
    fn a_body_names_its_model_however_it_is_written() {
        let text = r#"{"model":"m","stream":true}"#;
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = format!("\u{feff}{text}")
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        let marked = format!("\u{feff}{text}").into_bytes();
        let nan = text
            .replace("true", "true,\"temperature\":NaN")
            .into_bytes();
        let escaped = text
            .replace("model", "mod\\u0065l")
            .replace("\"m\"", "\"\\u006d\"");
        let garbage = format!("{text} ...").into_bytes();
        let comma = text.replace("true}", "true,}").into_bytes();
        for body in [
            text.into(),
            wide,
            big,
            marked,
            nan,
            escaped.into_bytes(),
            garbage,
            comma,
        ] {
            let read = read(&body);
            for keys in [Keys::Exact, Keys::Folded] {
                assert_eq!(*read.model(keys), Model::Named("m".to_owned()), "{body:?}");
                assert!(read.is_stream(keys), "{body:?}");
            }
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let packed = Body::read(&gzip.finish().unwrap(), None, Some("gzip"));
        assert_eq!(packed.model(Keys::Exact).name(), Some("m"));
        assert!(packed.end().is_none());
    }

    #[test]
    fn families_of_servers_read_each_in_their_way() {
        let body = read(br#"{"model":"a","Model":"b","model":null,"STREAM":true,"stream":"yes"}"#);
        assert_eq!(*body.model(Keys::Exact), Model::Absent);
        assert_eq!(body.model(Keys::Folded).name(), Some("b"));
        assert!(body.is_stream(Keys::Exact) && !body.is_stream(Keys::Folded));
    }

    #[test]
    fn what_python_takes_for_true_is_true() {
        for (value, stream) in [
            ("true", true),
            ("1", true),
            ("1.0", true),
            ("\"true\"", true),
            ("\"ON\"", true),
            ("\"y\\u0065s\"", true),
            ("false", false),
            ("0", false),
            ("null", false),
            ("\"no\"", false),
            ("[1]", false),
            ("2", false),
        ] {
            let body = format!("{{\"stream\":false,\"stream\":{value}}}");
            assert_eq!(
                read(body.as_bytes()).is_stream(Keys::Exact),
                stream,
                "{value}"
            );
            assert_eq!(
                read(body.as_bytes()).is_stream(Keys::Folded),
                value == "true",
                "{value}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_unclear_and_never_absent() {
        for body in [
            "",
            "[]",
            "model=m",
            "{",
            r#"{"model":7}"#,
            r#"{"model":"\ud800"}"#,
            r#"{"model":["m"]}"#,
            "{'model':'m'}",
        ] {
            assert_eq!(
                *read(body.as_bytes()).model(Keys::Exact),
                Model::Unclear,
                "{body}"
            );
        }
        let long = format!("{{\"model\":\"{}\"}}", "m".repeat(VALUE_BYTES));
        assert_eq!(*read(long.as_bytes()).model(Keys::Exact), Model::Unclear);
        for body in [
            "{}",
            r#"{"model":""}"#,
            r#"{"model":null}"#,
            r#"{"x":{"model":"m"}}"#,
        ] {
            assert_eq!(
                *read(body.as_bytes()).model(Keys::Exact),
                Model::Absent,
                "{body}"
            );
        }
        let other = Body::read(br#"{"model":"m"}"#, None, Some("zstd"));
        assert_eq!(*other.model(Keys::Exact), Model::Unclear);
        assert_eq!(model(r#"{"model":"m"}"#).as_deref(), Some("m"));
    }

    #[test]
    fn forms_name_their_model_too() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--b--";
        let form = Body::read(body, Some("multipart/form-data; boundary=b"), None);
        assert_eq!(form.model(Keys::Exact).name(), Some("whisper"));
        let kind = Some("application/x-www-form-urlencoded");
        let line = Body::read(b"model=whisper&stream=1", kind, None);
        assert_eq!(line.model(Keys::Exact).name(), Some("whisper"));
        assert!(line.is_stream(Keys::Exact));
        // What curl sends with -d, and servers read as JSON all the same.
        let json = Body::read(br#"{"model":"m"}"#, kind, None);
        assert_eq!(json.model(Keys::Exact).name(), Some("m"));
    }

    proptest! {
        #[test]
        fn nothing_panics(body: Vec<u8>, kind in 0usize..4, coding in 0usize..4) {
            let kinds = [None, Some("application/json"), Some("multipart/form-data; boundary=a"),
                Some("application/x-www-form-urlencoded")];
            let packings = [None, Some("gzip"), Some("deflate"), Some("br")];
            Body::read(&body, kinds[kind], packings[coding]);
        }
    }
}
