//! Frames of the live socket, as bytes.

use super::batch::Topic;
use serde::{Deserialize, Serialize};

/// Largest message that a browser may send.
pub const MESSAGE_BYTES: usize = 4 * 1024;
/// Close code: the session has ended, sign in.
pub const CLOSE_SIGN_IN: u16 = 4401;
/// Close code: what is asked for cannot be had now, or not as fast as it comes; come back in a while.
pub const CLOSE_LATER: u16 = 1013;

/// `hello`
#[derive(Debug, Serialize)]
pub(super) struct Hello<'a> {
    pub(super) server_time: String,
    pub(super) build: &'a str,
    pub(super) role: &'a str,
}

/// `subscribed`: these topics are told from here on.
#[derive(Debug, Serialize)]
pub(super) struct Subscribed<'a> {
    pub(super) topics: &'a [Topic],
}

/// `missed`: what could not be shown one by one; the browser reads it over HTTP.
#[derive(Debug, Serialize)]
pub(super) struct Missed {
    pub(super) topic: &'static str,
    /// How many, where that is known.
    pub(super) count: Option<u64>,
}

/// `error`: the socket closes after it.
#[derive(Debug, Serialize)]
pub(super) struct Error {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) message: &'static str,
}

/// What a browser says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromBrowser {
    /// From now on these topics and no others.
    Sub {
        topics: Vec<Topic>,
        /// Receipts stored after this, unix ms, are shown too.
        #[serde(default)]
        since: Option<i64>,
    },
    /// A newer console; ignored.
    #[serde(other)]
    Unknown,
}

/// JSON of one of our own types.
pub(super) fn json(data: &impl Serialize) -> String {
    // Serialising our own types into memory cannot fail; `null` is ignored by every console.
    serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned())
}

/// Puts `data`, which is JSON, into its envelope.
pub(super) fn envelope(kind: &str, data: &str, ts_ms: i64, seq: u64) -> String {
    format!("{{\"type\":\"{kind}\",\"data\":{data},\"ts\":{ts_ms},\"seq\":{seq}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_has_these_bytes() {
        let data = json(&Missed {
            topic: "receipts",
            count: None,
        });
        assert_eq!(
            envelope("missed", &data, 7, 3),
            r#"{"type":"missed","data":{"topic":"receipts","count":null},"ts":7,"seq":3}"#
        );
    }

    #[test]
    fn a_browser_subscribes_and_newer_words_are_ignored() {
        let read = |text: &str| serde_json::from_str::<FromBrowser>(text);
        let sub = read(r#"{"type":"sub","topics":["summary","receipts"],"since":5}"#);
        assert!(matches!(
            sub,
            Ok(FromBrowser::Sub { topics, since: Some(5) }) if topics == [Topic::Summary, Topic::Receipts]
        ));
        assert!(matches!(
            read(r#"{"type":"dance","to":1}"#),
            Ok(FromBrowser::Unknown)
        ));
        assert!(read(r#"{"type":"sub","topics":["secrets"]}"#).is_err());
        assert!(read("[]").is_err());
    }
}
