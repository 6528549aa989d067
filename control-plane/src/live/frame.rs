//! Frames of the live socket, as bytes.

use super::batch::Topic;
use crate::app::views::{HeartbeatEvent, NodeRow, ReceiptRow, Summary};
use crate::socket::{Bounds, Pace};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Ref, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = live::Hello)]
pub(super) struct Hello<'a> {
    /// RFC 3339.
    pub(super) server_time: String,
    /// Version of the control plane.
    pub(super) build: &'a str,
    /// `admin`, `viewer`, `operator`, `consumer`, `none` or `anonymous`.
    pub(super) role: &'a str,
}

/// `snapshot`: how things stand, where that can be told now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = live::Snapshot)]
pub(super) struct Snapshot {
    /// The figures; `null` where they cannot be told now.
    #[schema(value_type = Option<Summary>)]
    pub(super) summary: Option<Arc<Summary>>,
}

/// `subscribed`: these topics are told from here on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = live::Subscribed)]
pub(super) struct Subscribed<'a> {
    /// All that are told.
    pub(super) topics: &'a [Topic],
}

/// `missed`: what could not be shown one by one; the browser reads it over HTTP.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = live::Missed)]
pub(super) struct Missed {
    /// Of which topic.
    pub(super) topic: &'static str,
    /// How many, where that is known.
    pub(super) count: Option<u64>,
}

/// `error`: the socket closes after it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = live::Error)]
pub(super) struct Error {
    /// `unauthorized` or `unavailable`.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// A sentence for a person.
    pub(super) message: &'static str,
}

/// What a browser says.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = live::FromBrowser)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromBrowser {
    /// From now on these topics and no others.
    Sub {
        /// What is to be told.
        topics: Vec<Topic>,
        /// Receipts stored after this, unix ms, are shown too.
        #[serde(default)]
        since: Option<i64>,
    },
    /// A newer console; ignored.
    #[serde(other)]
    Unknown,
}

/// What a browser is told; for the OpenAPI document.
#[derive(Debug)]
pub struct ToBrowser;

impl ToBrowser {
    /// Each type with the name of its data's schema; a `ping` has `null`.
    fn kinds() -> [(&'static str, Option<String>); 10] {
        let name = |name: std::borrow::Cow<'static, str>| Some(name.into_owned());
        [
            ("hello", name(Hello::name())),
            ("snapshot", name(Snapshot::name())),
            ("subscribed", name(Subscribed::name())),
            ("summary", name(Summary::name())),
            ("node", name(NodeRow::name())),
            ("heartbeat", name(HeartbeatEvent::name())),
            ("receipt", name(ReceiptRow::name())),
            ("missed", name(Missed::name())),
            ("ping", None),
            ("error", name(Error::name())),
        ]
    }
}

impl PartialSchema for ToBrowser {
    fn schema() -> RefOr<Schema> {
        let of = |of: Type| ObjectBuilder::new().schema_type(of).build();
        let frame = |(kind, data): (&'static str, Option<String>)| {
            let kind = ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some([kind]));
            let data: RefOr<Schema> = match data {
                Some(name) => Ref::from_schema_name(name).into(),
                None => of(Type::Null).into(),
            };
            let members = ObjectBuilder::new()
                .property("type", kind)
                .property("data", data)
                .property("ts", of(Type::Integer))
                .property("seq", of(Type::Integer));
            ["type", "data", "ts", "seq"]
                .into_iter()
                .fold(members, ObjectBuilder::required)
                .build()
        };
        let frames = Self::kinds().into_iter().map(frame);
        frames
            .fold(OneOfBuilder::new(), OneOfBuilder::item)
            .description(Some(
                "A frame: `ts` is the server's clock, unix ms; `seq` counts the frames of this socket, and a gap in it means that \
                 some were left out.",
            ))
            .into()
    }
}

impl ToSchema for ToBrowser {
    fn name() -> std::borrow::Cow<'static, str> {
        "live.ToBrowser".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        }
        add::<Hello<'_>>(schemas);
        add::<Snapshot>(schemas);
        add::<Subscribed<'_>>(schemas);
        add::<Summary>(schemas);
        add::<NodeRow>(schemas);
        add::<HeartbeatEvent>(schemas);
        add::<ReceiptRow>(schemas);
        add::<Missed>(schemas);
        add::<Error>(schemas);
    }
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
