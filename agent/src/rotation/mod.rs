//! The node changes its key, and the chain of the old one is brought home.
//!
//! | module | owns |
//! |---|---|
//! | [`files`] | what lies on the disk, and how a cut change goes on |
//! | [`archive`] | the chains on the disk, for commands |
//! | `ask` | what is said to the control plane |
//! | `tail` | the receipts of old chains: sent over HTTP, kept, at last removed |
//! | [`change`] | a change while no agent runs |
//!
//! Order of a change: the new key is on the disk; both keys sign the statement; the control plane takes it, and from
//! then on takes receipts of both; the spool goes aside and the node signs with the new key, from `seq` 1; what the
//! old spool still holds is sent beside the link; the old key has said where its chain ends. Any of it may be cut
//! off, by a crash or by a network that loses the answer, and goes on from where it was.

pub mod archive;
mod ask;
pub mod change;
pub mod files;
pub(crate) mod tail;

pub use ask::{AskError, Asked};
pub use files::{FilesError, Record};

pub(crate) use ask::ask;
