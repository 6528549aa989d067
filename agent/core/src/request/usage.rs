//! Asking for usage in the body of a client that did not, and servers that refuse to be asked.
//!
//! What is asked for is one member of `stream_options`. It is added only to plain JSON that was understood to its
//! last byte, at the place that wins; everything else of the body stays as it is.

use super::body::{Body, Keys, is_literal_true, is_true};
use super::scan::{Member, Scanned, Scanner, Value};
use bytes::Bytes;
use std::ops::Range;

/// Most of a refusal that is read, bytes.
pub const REFUSAL_BYTES: usize = 64 * 1024;

/// The `stream_options` of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Options {
    /// None.
    Absent,
    /// `null`, here.
    Null(Range<usize>),
    /// An object.
    Object {
        at: Range<usize>,
        has_members: bool,
        usage: Flag,
        running: Flag,
    },
    /// Something that cannot be added to.
    Unclear,
}

/// A member of the options that is true or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    /// Where its value stands, if it is there.
    at: Option<Range<usize>>,
    is_true: bool,
}

impl Options {
    /// The options as servers read them that want the exact name, and as those do that ignore its case.
    pub(super) fn read(options: &Member) -> [Self; 2] {
        let exact = options.exact.as_ref();
        let read = exact.map(|exact| (exact, Read::of(exact)));
        // Go puts the members of several `stream_options` together; that is nothing to add to.
        let folded = match (&options.folded, &read) {
            _ if options.times > 1 => Self::Unclear,
            (Some(folded), Some((exact, read))) if folded == *exact => read.options(Keys::Folded),
            (Some(folded), _) => Read::of(folded).options(Keys::Folded),
            (None, _) => Self::Absent,
        };
        let exact = read.map_or(Self::Absent, |(_, read)| read.options(Keys::Exact));
        [exact, folded]
    }
}

/// The options, scanned once.
enum Read {
    Known(Options),
    Object {
        at: Range<usize>,
        scanned: Scanned<2>,
    },
}

impl Read {
    fn of(value: &Value) -> Self {
        let Some(text) = value.text.as_deref() else {
            return Self::Known(Options::Unclear);
        };
        if text == b"null" {
            return Self::Known(Options::Null(value.at.clone()));
        }
        let mut scanner = Scanner::new(["include_usage", "continuous_usage_stats"], 64);
        scanner.feed(text);
        let scanned = scanner.finish();
        if !scanned.is_whole || scanned.members.iter().any(|member| member.times > 1) {
            return Self::Known(Options::Unclear);
        }
        Self::Object {
            at: value.at.clone(),
            scanned,
        }
    }

    fn options(&self, keys: Keys) -> Options {
        let (at, scanned) = match self {
            Self::Known(options) => return options.clone(),
            Self::Object { at, scanned } => (at, scanned),
        };
        let [usage, running] = scanned.members.each_ref().map(|member| {
            let (value, is_true) = match keys {
                Keys::Exact => (&member.exact, is_true(member.exact.as_ref())),
                Keys::Folded => (&member.folded, is_literal_true(member.folded.as_ref())),
            };
            let place = |value: &Value| at.start + value.at.start..at.start + value.at.end;
            Flag {
                at: value.as_ref().map(place),
                is_true,
            }
        });
        Options::Object {
            at: at.clone(),
            has_members: scanned.has_members,
            usage,
            running,
        }
    }
}

/// What a server does with `stream_options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// It tells usage once.
    Never,
    /// It repeats running usage on every event unless told not to, and tells usage to whoever names options.
    Always,
}

impl Body {
    /// Whether the client itself asks for usage in the stream.
    pub fn wants_usage(&self, keys: Keys, repeats: Repeats) -> bool {
        match self.options(keys) {
            Options::Object { usage, .. } => {
                usage.is_true || (usage.at.is_none() && repeats == Repeats::Always)
            }
            Options::Absent | Options::Null(_) | Options::Unclear => false,
        }
    }

    /// The body with usage asked for; `None` where nothing can be added without a doubt.
    pub fn with_usage(&self, body: &Bytes, keys: Keys, repeats: Repeats) -> Option<Bytes> {
        // The scanner is more tolerant than servers are; nothing is put into what one of them might read otherwise.
        let end = self.end().filter(|_| is_json(body))?;
        let once = match repeats {
            Repeats::Never => "",
            Repeats::Always => ",\"continuous_usage_stats\":false",
        };
        let whole = format!("{{\"include_usage\":true{once}}}");
        match self.options(keys) {
            Options::Unclear => None,
            Options::Null(at) => put(body, at.clone(), &whole),
            Options::Absent => {
                let comma = if end.has_members { "," } else { "" };
                put(
                    body,
                    end.at..end.at,
                    &format!("{comma}\"stream_options\":{whole}"),
                )
            }
            Options::Object {
                at,
                has_members,
                usage,
                running,
            } => {
                // The later place first, so that the earlier one still holds.
                let once = if running.at.is_some() { "" } else { once };
                let (named, value) = match &usage.at {
                    Some(_) => ("", once),
                    None => ("\"include_usage\":true", once),
                };
                let added = format!("{named}{value}");
                let added = match (*has_members, added.as_str()) {
                    (_, "") => String::new(),
                    (true, added) => format!(",{}", added.trim_start_matches(',')),
                    (false, added) => added.trim_start_matches(',').to_owned(),
                };
                let close = at.end.checked_sub(1)?;
                let body = put(body, close..close, &added)?;
                match &usage.at {
                    Some(at) => put(&body, at.clone(), "true"),
                    None => Some(body),
                }
            }
        }
    }
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

fn put(body: &Bytes, at: Range<usize>, text: &str) -> Option<Bytes> {
    let (before, after) = (body.get(..at.start)?, body.get(at.end..)?);
    Some([before, text.as_bytes(), after].concat().into())
}

/// Whether an answer to a body with usage asked for may be a refusal of just that, so that the same is worth to be
/// asked without. A 422 may be one whatever it says; a 400 must name it.
pub fn may_be_refused(status: u16) -> bool {
    matches!(status, 400 | 422)
}

/// Whether the answer, whose body begins with `body`, is such a refusal.
pub fn is_refused(status: u16, body: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"stream_options",
        b"include_usage",
        b"continuous_usage_stats",
        b"extra fields not permitted",
        b"extra inputs are not permitted",
        b"extra_forbidden",
        b"unrecognized request argument",
        b"unknown field",
    ];
    if status != 400 {
        return status == 422;
    }
    let said = body.to_ascii_lowercase();
    NAMES
        .iter()
        .any(|name| memchr::memmem::find(&said, name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn added(body: &str, keys: Keys, repeats: Repeats) -> Option<String> {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let changed = Body::read(&bytes, None, None).with_usage(&bytes, keys, repeats)?;
        Some(String::from_utf8(changed.to_vec()).unwrap())
    }

    #[test]
    fn usage_is_added_and_nothing_else_changes() {
        let once = r#"{"include_usage":true}"#;
        for (body, changed) in [
            (
                r#"{"stream":true,"n":1}"#,
                r#"{"stream":true,"n":1,"stream_options":{"include_usage":true}}"#,
            ),
            ("{ }\n", "{ \"stream_options\":{\"include_usage\":true}}\n"),
            (
                r#"{"stream_options" : null , "a":1}"#,
                r#"{"stream_options" : {"include_usage":true} , "a":1}"#,
            ),
            (
                r#"{"stream_options":{}}"#,
                r#"{"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream_options":{"x":[1]}}"#,
                r#"{"stream_options":{"x":[1],"include_usage":true}}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":false,"x":1}}"#,
                r#"{"stream_options":{"include_usage":true,"x":1}}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":true},"stream_options":{"include_usage":null}}"#,
                r#"{"stream_options":{"include_usage":true},"stream_options":{"include_usage":true}}"#,
            ),
        ] {
            assert_eq!(
                added(body, Keys::Exact, Repeats::Never).as_deref(),
                Some(changed),
                "{body} {once}"
            );
        }
    }

    #[test]
    fn a_server_that_repeats_usage_is_told_not_to() {
        for (body, changed) in [
            (
                r#"{"a":1}"#,
                r#"{"a":1,"stream_options":{"include_usage":true,"continuous_usage_stats":false}}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":false}}"#,
                r#"{"stream_options":{"include_usage":true,"continuous_usage_stats":false}}"#,
            ),
            (
                r#"{"stream_options":{"continuous_usage_stats":true,"include_usage":false}}"#,
                r#"{"stream_options":{"continuous_usage_stats":true,"include_usage":true}}"#,
            ),
        ] {
            assert_eq!(
                added(body, Keys::Exact, Repeats::Always).as_deref(),
                Some(changed),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        for body in [
            r#"{"stream_options":7}"#,
            r#"{"stream_options":"x"}"#,
            r#"{"stream_options":{"include_usage":false,"include_usage":false}}"#,
            r#"{"t":NaN}"#,
            r#"{"a":1,}"#,
            r#"{"a":1}x"#,
            "\u{feff}{\"a\":1}",
            "[]",
            "",
        ] {
            assert_eq!(added(body, Keys::Exact, Repeats::Never), None, "{body}");
        }
        let twice = r#"{"stream_options":{},"Stream_Options":{}}"#;
        assert_eq!(added(twice, Keys::Folded, Repeats::Never), None);
        assert!(added(twice, Keys::Exact, Repeats::Never).is_some());
    }

    #[test]
    fn who_asks_for_usage_is_known() {
        let wants = |options: &str, keys, repeats| {
            let body = format!("{{\"stream_options\":{options}}}");
            Body::read(body.as_bytes(), None, None).wants_usage(keys, repeats)
        };
        let (exact, folded) = (Keys::Exact, Keys::Folded);
        for value in ["true", "1", "\"yes\""] {
            assert!(wants(
                &format!("{{\"include_usage\":{value}}}"),
                exact,
                Repeats::Never
            ));
        }
        assert!(wants(r#"{"Include_Usage":true}"#, folded, Repeats::Never));
        assert!(!wants(r#"{"Include_Usage":true}"#, exact, Repeats::Never));
        assert!(wants("{}", exact, Repeats::Always) && !wants("{}", exact, Repeats::Never));
        assert!(!wants("null", exact, Repeats::Always));
    }

    #[test]
    fn a_refusal_of_what_was_added_is_told_from_others() {
        for (status, body, refused) in [
            (422, "", true),
            (
                400,
                r#"{"error":"[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options')}]"}"#,
                true,
            ),
            (400, "Extra inputs are not permitted", true),
            (
                400,
                "Unrecognized request argument supplied: stream_options",
                true,
            ),
            (400, "maximum context length is 4096 tokens", false),
            (404, "stream_options", false),
            (200, "stream_options", false),
        ] {
            assert_eq!(
                is_refused(status, body.as_bytes()),
                refused,
                "{status} {body}"
            );
            assert!(!refused || may_be_refused(status));
        }
    }

    proptest! {
        #[test]
        fn exactly_one_member_is_added(
            keys in proptest::collection::vec("[a-z\"é]{0,5}", 0..5),
            options in prop_oneof![
                Just(None), Just(Some(json!(null))), Just(Some(json!({}))), Just(Some(json!({"include_usage": false}))),
                Just(Some(json!({"x": {"include_usage": 1}, "y": "}"}))),
            ],
            repeats in prop_oneof![Just(Repeats::Never), Just(Repeats::Always)],
        ) {
            let mut object = serde_json::Map::new();
            for key in keys {
                object.insert(key.clone(), json!({"stream_options": key}));
            }
            if let Some(options) = &options {
                object.insert("stream_options".to_owned(), options.clone());
            }
            let changed = added(&json!(object).to_string(), Keys::Exact, repeats).unwrap();
            let mut expected = options.filter(|o| !o.is_null()).unwrap_or_else(|| json!({}));
            expected["include_usage"] = true.into();
            if repeats == Repeats::Always {
                expected["continuous_usage_stats"] = false.into();
            }
            object.insert("stream_options".to_owned(), expected);
            let read: serde_json::Value = serde_json::from_str(&changed).unwrap();
            prop_assert_eq!(read, json!(object));
        }
    }
}
