//! Places that every transaction passes once and in this order, whichever way it came about: a batch, its halves when the
//! database refused it, a try that is rolled back, chains that go on without what is missing.
//!
//! [`Step::passed`] is where each is said to the log, at the level `trace`; a test reads it there.

use super::Plan;

/// A place in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum Step {
    /// The transaction is open.
    Begun,
    /// [`Plan::check_epoch`].
    Epoch,
    /// The receipts are rows: `Plan::write_leaves`.
    Leaves,
    /// [`Plan::write_event`].
    Event,
    /// All of it is durable; from here on answers go out.
    Committed,
}

impl Step {
    /// The transaction is here.
    pub(in crate::ingest) fn passed(self) {
        let step = match self {
            Self::Begun => "begun",
            Self::Epoch => "epoch",
            Self::Leaves => "leaves",
            Self::Event => "event",
            Self::Committed => "committed",
        };
        tracing::trace!(target: "dgon_control_plane::ingest::steps", step);
    }
}

impl Plan<'_> {
    /// Where what comes from a session that is not its node's current one is left out: after the heads are locked, before
    /// anything is decided or written.
    ///
    /// One process has all sessions and one committer, so what an older session sent is stored before what a newer one
    /// sends, and there is nothing to leave out. With several processes, each submission carries the epoch of its session;
    /// here it is compared with the row of `node_sessions`, read in this transaction, and one with a lower epoch is
    /// neither stored nor acknowledged nor blamed: it is a fencing token.
    pub(super) fn check_epoch(&self) {
        Step::Epoch.passed();
    }

    /// Where the event row of the transaction is written: one, whatever it changed, after all rows that it tells of and
    /// before the commit; never in another transaction.
    ///
    /// One process tells its readers through the bus, after the commit, so there is no row yet. For readers of such rows
    /// the rule is: their numbers are not committed in order, so a reader takes only rows below the oldest transaction
    /// that still runs (`pg_snapshot_xmin`; on SQLite the one writer makes the order), or it would skip one for ever.
    pub(super) fn write_event(&self) {
        Step::Event.passed();
    }
}
