//! Questions that people ask: each takes who looks, and answers with views.

mod network_day;
mod nodes;
mod parts;
mod receipts;
mod shared;
mod summary;

pub use nodes::NodeQuery;
pub use receipts::{Reader, ReceiptQuery};
pub use summary::SummaryCache;

use dgon_control_plane_store::StoreError;

/// Rows of one page at most.
pub const PAGE_MAX: i64 = 200;
/// Rows of a page that names no limit.
pub const PAGE_DEFAULT: i64 = 50;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The database.
    #[error("the question could not be answered; see the cause")]
    Store(#[from] StoreError),
    /// It was tried a moment ago and failed.
    #[error("this could not be computed a moment ago; it is tried again in a second")]
    NotNow,
    /// A cursor that no page gave.
    #[error("this cursor is of another list or version; start without one")]
    Cursor,
    /// Nobody is signed in who may see this.
    #[error("receipts are shown to their operators; sign in as one")]
    NotShown,
    /// Something that is there, and whose contents are not for this one.
    #[error("it exists; its contents are restricted to the members of its pool")]
    Restricted,
    /// A request id that several nodes used.
    #[error("several nodes used this request id, so it names more than one receipt; add ?node_id=NODE_ID, one of: {}", .0.join(", "))]
    SeveralNodes(Vec<String>),
}
