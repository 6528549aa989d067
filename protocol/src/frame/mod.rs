//! Text frames of the agent link: `{"type": …, "data": …, "ts": unix_ms}`.
//!
//! One enum per direction. A type that this side does not know is [`Incoming::Unknown`]: the peer may be newer.
//! Receipts travel as the entry bytes themselves, as raw JSON inside the frame, so that a receiver can hash and
//! verify exactly what was signed. Text from the control plane is bounded by its type ([`crate::text`]).
//!
//! | module | owns |
//! |---|---|
//! | `codec` | the envelope, and the enums of both directions |
//! | `handshake` | challenge, hello, welcome with its proof, error, bye |
//! | `keys` | the live set of order keys, with its proof |
//! | `node` | what a node has and how it is |
//! | `receipts` | receipts, their acknowledgements and refusals |
//! | `work` | probes, jobs, control |

mod codec;
mod handshake;
mod keys;
mod node;
mod receipts;
mod work;

pub use codec::{FrameError, Incoming, ToAgent, ToControlPlane};
pub use handshake::{
    Bye, Challenge, Hello, LinkError, LinkLimits, Permission, SealedWelcome, Welcome, WelcomeError,
    link_proof_bytes,
};
#[cfg(feature = "schema")]
pub(crate) use keys::LiveKeys;
pub use keys::{KeysError, SealedKeys};
pub use node::{
    Gpu, GpuInstance, GpuLoad, GpusNotRead, Heartbeat, Host, Inventory, Issue, IssueKind,
    LifecycleStatus, Model, NodeStatus, PausedReason, Runtime,
};
pub use receipts::{Ack, Need, Receipts, Refused};
pub use work::{Control, Job, JobCancel, JobResult, JobUpdate, Probe, ProbeOutcome, ProbeResult};

/// WebSocket subprotocol of the link.
pub const SUBPROTOCOL: &str = "dgon.v1";
/// Path of the link.
pub const LINK_PATH: &str = "/api/v1/nodes/link";
