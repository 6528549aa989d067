//! Simulated agents that speak the real protocol: one to step by hand, many as a load generator.
//!
//! [`SimAgent`] holds an identity and signs a chain; [`SimLink`] moves frames one at a time, so that a test can send
//! what no real agent sends; [`relay`] serves relayed requests over it. [`load`] runs a whole fleet and measures how soon receipts are acknowledged; [`hostile`]
//! has agents that break rules beside it.

mod agent;
pub mod hostile;
mod link;
pub mod load;
mod node;
pub mod relay;

pub use agent::{Enrol, MODEL, SavedAgent, SimAgent, SimReceipt, inventory, unix_now};
pub use link::{Event, SimLink};

use dgon_protocol::frame::{FrameError, LinkError, WelcomeError};

/// Why a simulated agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The machine gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Entropy,
    /// HTTP failed below its status.
    #[error("the control plane cannot be reached over HTTP")]
    Http(#[source] reqwest::Error),
    /// The control plane said no.
    #[error("the control plane refused with status {status}: {text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Body of the answer.
        text: String,
    },
    /// The control plane answered with something else than the protocol says.
    #[error("unexpected answer: {0}")]
    Answer(&'static str),
    /// The WebSocket failed.
    #[error("the link failed")]
    WebSocket(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// A frame from the control plane breaks the grammar.
    #[error("the control plane sent a malformed frame")]
    Frame(#[source] FrameError),
    /// The control plane does not prove that it knows the node's secret.
    #[error("the control plane is not believed")]
    Welcome(#[source] WelcomeError),
    /// The control plane ended the session.
    #[error("the control plane ended the session: {} ({})", .0.message, .0.kind)]
    Link(LinkError),
    /// The link closed without a word.
    #[error("the link closed")]
    Closed,
    /// Nothing came in time.
    #[error("nothing came in time")]
    Timeout,
}
