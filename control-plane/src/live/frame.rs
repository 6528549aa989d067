//! Frames of the live socket, as bytes.

use super::batch::Topic;
use crate::app::views::Summary;
use crate::socket::{Bounds, Pace};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;

/// What the socket of a browser may hold, bytes. The largest frame is a node with all that an inventory may name.
pub const BOUNDS: Bounds = Bounds {
    message: 4 * 1024,
    read: 1024,
    gathered: 8 * 1024,
    waiting: 512 * 1024,
    pace: Pace::new(16.0 * 1024.0, 128.0 * 1024.0),
};
/// Close code: the session has ended, sign in.
pub const CLOSE_SIGN_IN: u16 = 4401;
/// Close code: what is asked for cannot be had now, or not as fast as it comes; come back in a while.
pub const CLOSE_LATER: u16 = 1013;

/// Room for a frame's number and the brace after it.
const NUMBER_BYTES: usize = 21;

/// `hello`
#[derive(Debug, Serialize)]
pub(super) struct Hello<'a> {
    pub(super) server_time: String,
    pub(super) build: &'a str,
    pub(super) role: &'a str,
}

/// `snapshot`: how things stand, where that can be told now.
#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    pub(super) summary: Option<Arc<Summary>>,
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

/// A frame in its envelope, but for its number: that is each browser's own, and the last of it.
#[derive(Debug)]
pub(super) struct Opened(String);

impl Opened {
    /// Puts `data`, which is JSON, into the envelope.
    pub(super) fn new(kind: &str, data: &str, ts_ms: i64) -> Self {
        Self(format!(
            "{{\"type\":\"{kind}\",\"data\":{data},\"ts\":{ts_ms},\"seq\":"
        ))
    }

    /// The whole frame.
    pub(super) fn numbered(&self, seq: u64) -> String {
        let mut text = String::with_capacity(self.0.len() + NUMBER_BYTES);
        text.push_str(&self.0);
        // Writing into memory cannot fail.
        let _ = write!(text, "{seq}}}");
        text
    }
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
            Opened::new("missed", &data, 7).numbered(3),
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
