//! The spool: signed receipts on disk until the control plane has them, and for a while after.
//!
//! | module | owns |
//! |---|---|
//! | [`disk`] | the filesystem as a trait, and the real one |
//! | [`store`] | append, read, acknowledge, trim, repair |
//! | `recover` | what is found at start |
//! | [`view`] | reading beside a running agent, for `receipt list` |
//! | [`dead_letters`] | receipts that were refused |
//! | [`lock`] | one agent per spool |

pub mod dead_letters;
pub mod disk;
pub mod lock;
mod recover;
pub mod store;
pub mod view;

pub use dead_letters::{DeadLetter, DeadLetters};
pub use disk::Folder;
pub use lock::{Lock, LockError};
pub use recover::OpenError;
pub use store::{AppendError, Spool, Stored};

/// Name of the spool's folder in the state directory.
pub const FOLDER_NAME: &str = "spool";
