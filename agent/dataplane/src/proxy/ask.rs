//! What the proxy reads in a request body, and the one thing that it may add to it.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What a request body says about the work.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ask {
    /// The model, as the client names it.
    pub(super) model: Option<String>,
    /// Whether the client asks for a stream.
    pub(super) stream: bool,
    /// Whether the client itself asks for usage in the stream.
    pub(super) wants_usage: bool,
    /// Where the value of `stream_options` stands in the body.
    options_at: Option<std::ops::Range<usize>>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream_options: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

/// Keeps a `null` apart from an absent member.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Ask {
    /// Reads a body. One that is not the JSON of a request says nothing: the runtime will refuse it.
    pub(super) fn read(body: &[u8]) -> Self {
        let Ok(head) = serde_json::from_slice::<Head<'_>>(body) else {
            return Self::default();
        };
        let wants_usage = head
            .stream_options
            .and_then(|raw| serde_json::from_str::<Option<StreamOptions>>(raw.get()).ok())
            .flatten()
            .is_some_and(|options| options.include_usage == Some(true));
        let options_at = head.stream_options.map(|raw| {
            let start = raw.get().as_ptr() as usize - body.as_ptr() as usize;
            start..start + raw.get().len()
        });
        Self {
            model: head
                .model
                .map(Cow::into_owned)
                .filter(|name| !name.is_empty()),
            stream: head.stream == Some(true),
            wants_usage,
            options_at,
        }
    }

    /// The body with usage asked for. `None` where `stream_options` is something that cannot be added to.
    ///
    /// `once` says that the runtime must be told not to repeat running usage on every event.
    pub(super) fn with_usage(&self, body: &Bytes, once: bool) -> Option<Bytes> {
        let mut added = serde_json::Map::new();
        added.insert("include_usage".to_owned(), true.into());
        if once {
            added.insert("continuous_usage_stats".to_owned(), false.into());
        }
        let (before, member, after) = match &self.options_at {
            Some(at) => {
                let old = serde_json::from_slice(&body[at.clone()]).ok()?;
                let mut options: serde_json::Map<_, _> = Option::unwrap_or_default(old);
                options.extend(added);
                (
                    &body[..at.start],
                    options_text(options, ""),
                    &body[at.end..],
                )
            }
            None => {
                // A body that names a stream has a member, so a comma may follow.
                let open = memchr::memchr(b'{', body)? + 1;
                let member = format!("\"stream_options\":{}", options_text(added, ","));
                (&body[..open], member, &body[open..])
            }
        };
        Some([before, member.as_bytes(), after].concat().into())
    }
}

fn options_text(options: serde_json::Map<String, serde_json::Value>, end: &str) -> String {
    format!("{}{end}", serde_json::Value::Object(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(body: &str, once: bool) -> Option<serde_json::Value> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let changed = Ask::read(&body).with_usage(&body, once)?;
        Some(serde_json::from_slice(&changed).unwrap())
    }

    #[test]
    fn a_body_says_what_it_asks_for() {
        let ask = Ask::read(br#"{"model":"a/b","messages":[{"stream":false}],"stream":true}"#);
        assert_eq!(ask.model.as_deref(), Some("a/b"));
        assert!(ask.stream && !ask.wants_usage);
        let ask = Ask::read(br#" {"stream_options":{"include_usage":true},"stream":true}"#);
        assert!(ask.wants_usage);
        assert_eq!(Ask::read(b"not json"), Ask::default());
        assert_eq!(Ask::read(b""), Ask::default());
        assert_eq!(Ask::read(br#"{"model":7}"#), Ask::default());
    }

    #[test]
    fn usage_is_added_and_nothing_else_changes() {
        for (body, options) in [
            (r#"{"stream":true,"n":1}"#, r#"{"include_usage":true}"#),
            (
                r#" { "stream":true,"stream_options":null}"#,
                r#"{"include_usage":true}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":false},"stream":true}"#,
                r#"{"include_usage":true}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"x":[1]}}"#,
                r#"{"x":[1],"include_usage":true}"#,
            ),
        ] {
            let mut expected: serde_json::Value = serde_json::from_str(body).unwrap();
            expected["stream_options"] = serde_json::from_str(options).unwrap();
            assert_eq!(added(body, false).unwrap(), expected, "{body}");
        }
        let once = added(r#"{"stream":true}"#, true).unwrap();
        assert_eq!(once["stream_options"]["continuous_usage_stats"], false);
        assert_eq!(added(r#"{"stream":true,"stream_options":7}"#, false), None);
    }
}
