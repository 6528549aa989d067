//! The envelope of text frames and the two enums of types.

use super::{
    Ack, Bye, Challenge, Control, Heartbeat, Hello, Inventory, Issue, Job, JobCancel, JobResult,
    JobUpdate, LinkError, Need, NodeStatus, Probe, ProbeResult, Receipts, SealedKeys,
    SealedWelcome,
};
use crate::limits::{FRAME_BYTES, RECEIPTS_IN_FLIGHT, RECEIPTS_PER_BATCH};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Why a text frame is refused. The session closes with [`InvalidFrame`](crate::error::ErrorType::InvalidFrame).
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Over 1 MiB.
    #[error("a frame has at most {FRAME_BYTES} bytes, this has {bytes}")]
    TooLarge {
        /// Size seen.
        bytes: usize,
    },
    /// Not `{"type","data","ts"}`.
    #[error("not a frame of type, data and ts")]
    Envelope(#[source] serde_json::Error),
    /// The data of a known type does not fit it.
    #[error("the data of a {kind} frame is malformed")]
    Data {
        /// The frame's type.
        kind: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Too many receipts in one frame.
    #[error("a receipts frame carries at most {RECEIPTS_PER_BATCH} receipts")]
    TooManyReceipts,
    /// Too many refusals in one frame.
    #[error("an ack frame carries at most {RECEIPTS_IN_FLIGHT} refusals")]
    TooManyRefusals,
}

/// A frame that came in.
#[derive(Debug)]
pub enum Incoming<T> {
    /// A type of this version.
    Known(T),
    /// A type of a newer version: count it, ignore it.
    Unknown(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "part of the grammar, so it must be an integer; nothing acts on the peer's clock"
    )]
    ts: i64,
}

#[derive(Serialize)]
struct OutEnvelope<'a, D: Serialize> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: D,
    ts: i64,
}

fn encode<D: Serialize>(kind: &str, data: D, unix_ms: i64) -> String {
    // Serialising our own types into a String cannot fail; an empty frame is ignored by every peer.
    serde_json::to_string(&OutEnvelope {
        kind,
        data,
        ts: unix_ms,
    })
    .unwrap_or_default()
}

macro_rules! frames {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident($data:ty) = $kind:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[allow(clippy::large_enum_variant, reason = "frames are built, sent and dropped one at a time")]
        pub enum $name {
            $($(#[$vdoc])* $variant($data),)*
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::ToSchema;
                crate::schema::frames([$(($kind, <$data>::name().into_owned()),)*])
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {
            fn name() -> Cow<'static, str> {
                concat!("link.", stringify!($name)).into()
            }

            fn schemas(
                schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
            ) {
                use utoipa::PartialSchema;
                $(
                    schemas.push((<$data as utoipa::ToSchema>::name().into_owned(), <$data>::schema()));
                    <$data as utoipa::ToSchema>::schemas(schemas);
                )*
            }
        }

        impl $name {
            /// All types of this direction.
            pub const KINDS: &[&str] = &[$($kind,)*];

            /// The frame's type on the wire.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)* }
            }

            /// Reads a text frame.
            ///
            /// # Errors
            /// [`FrameError`] when the text is no frame or the data does not fit its type.
            pub fn decode(text: &str) -> Result<Incoming<Self>, FrameError> {
                if text.len() > FRAME_BYTES {
                    return Err(FrameError::TooLarge { bytes: text.len() });
                }
                let envelope: Envelope<'_> = serde_json::from_str(text).map_err(FrameError::Envelope)?;
                let data = envelope.data.map_or("null", RawValue::get);
                let malformed = |source| FrameError::Data { kind: envelope.kind.to_string(), source };
                let frame = match envelope.kind.as_ref() {
                    $($kind => Self::$variant(serde_json::from_str(data).map_err(malformed)?),)*
                    other => return Ok(Incoming::Unknown(other.chars().take(64).collect())),
                };
                frame.check()?;
                Ok(Incoming::Known(frame))
            }

            /// Writes the frame, stamped with `unix_ms`.
            pub fn encode(&self, unix_ms: i64) -> String {
                match self { $(Self::$variant(data) => encode($kind, data, unix_ms),)* }
            }
        }
    };
}

frames! {
    /// What an agent says to the control plane.
    ToControlPlane {
        /// Proof of the receipt key, and who this is.
        Hello(Hello) = "hello",
        /// Health and load.
        Heartbeat(Heartbeat) = "heartbeat",
        /// What the node has, on change.
        Inventory(Inventory) = "inventory",
        /// Receipts in `seq` order.
        Receipts(Receipts) = "receipts",
        /// How a probe went.
        ProbeResult(ProbeResult) = "probe_result",
        /// A job moved on.
        JobUpdate(JobUpdate) = "job_update",
        /// A job ended.
        JobResult(JobResult) = "job_result",
        /// Something an operator should know.
        Issue(Issue) = "issue",
        /// The agent is about to go.
        Bye(Bye) = "bye",
    }
}

frames! {
    /// What the control plane says to an agent.
    ToAgent {
        /// Opens the handshake.
        Challenge(Challenge) = "challenge",
        /// The session stands.
        Welcome(SealedWelcome) = "welcome",
        /// Order keys that are live from now on.
        Keys(SealedKeys) = "keys",
        /// Receipts are durable, or refused.
        Ack(Ack) = "ack",
        /// Receipts are missing before those that came.
        Need(Need) = "need",
        /// Lifecycle status of the node.
        Status(NodeStatus) = "status",
        /// Serve one known prompt.
        Probe(Probe) = "probe",
        /// Do a job.
        Job(Job) = "job",
        /// Give a job up.
        JobCancel(JobCancel) = "job_cancel",
        /// Change how the agent runs.
        Control(Control) = "control",
        /// The session ends for this reason.
        Error(LinkError) = "error",
    }
}

impl ToControlPlane {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Receipts(batch) if batch.receipts.len() > RECEIPTS_PER_BATCH => {
                Err(FrameError::TooManyReceipts)
            }
            _ => Ok(()),
        }
    }
}

impl ToAgent {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Ack(ack) if ack.refused.len() > RECEIPTS_IN_FLIGHT => {
                Err(FrameError::TooManyRefusals)
            }
            _ => Ok(()),
        }
    }
}
