//! Why the agent does not run.

use crate::config::plain_http::PlainHttp;
use crate::identity::IdentityError;
use crate::rotation::FilesError;
use crate::runtime::AccessError;
use crate::spool::{LockError, OpenError};
use dgon_protocol::id::NodeId;
use std::io;
use std::net::SocketAddr;

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Who this node is cannot be read.
    #[error("the node's identity cannot be used")]
    Identity(#[source] IdentityError),
    /// The configuration names another node.
    #[error(
        "agent.yaml says that this node is {configured} and it is enrolled as {enrolled}; correct node.id, or \
         use the state directory of {configured}"
    )]
    OtherNode {
        /// In the configuration.
        configured: NodeId,
        /// In the identity.
        enrolled: NodeId,
    },
    /// The control plane would be spoken to in the clear.
    #[error(transparent)]
    PlainHttp(PlainHttp),
    /// The key or the certificates of a runtime cannot be used.
    #[error("an entry of runtimes.endpoints in agent.yaml cannot be used")]
    Runtimes(#[source] AccessError),
    /// The spool's folder cannot be made.
    #[error("the spool folder cannot be made; check the permissions of the state directory")]
    SpoolFolder(#[source] io::Error),
    /// Another agent has the state directory.
    #[error("the state directory is in use")]
    Lock(#[source] LockError),
    /// A change of keys that was cut off cannot be brought in order.
    #[error("a change of keys that was cut off cannot be brought in order")]
    Files(#[source] FilesError),
    /// A part without which the agent is of no use panicked.
    #[error(
        "the agent's {part} panicked, which is a fault of this program, so it has stopped; start it again, and send the \
         log to the people of DGON"
    )]
    Panicked {
        /// Which one.
        part: &'static str,
    },
    /// The spool cannot be opened.
    #[error("the spool cannot be opened")]
    Spool(#[source] OpenError),
    /// The proxy's address is taken or not ours.
    #[error(
        "the proxy cannot listen on {address}; stop what listens there, or choose another address with --listen \
         or proxy.listen"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no thread or signal handler.
    #[error("the system does not give the agent what it needs to run")]
    System(#[source] io::Error),
}
