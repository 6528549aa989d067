//! Sums of the minutes that are not rows yet, beside those that are.
//!
//! Only the committer counts here, after a commit and before anybody is answered, and writes what is over. Whoever reads sums
//! reads here first and then the rows: what is written in between is in both, and the border that comes with the rows says
//! so.

use super::App;
use dgon_control_plane_model::open_sums::{OpenSums, Piece};
use dgon_control_plane_model::rollup::{MINUTE_MS, ReceiptFacts, RowKey, Sums, minute_of};
use dgon_control_plane_model::window::{DayWindow, first_minute};
use dgon_control_plane_store::rollups::{RollupRange, WrittenSums};
use dgon_control_plane_store::{Fault, Scope, Store, StoreError, System};
use dgon_protocol::id::NodeId;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows of one piece: other writers wait no longer than for these.
const ROWS: usize = 250;
/// Receipts that are read at once where they are counted anew.
const RECEIPTS: i64 = 10_000;
/// Minutes that may be over and not written. Where there are more, receipts wait: memory is not for what the database does
/// not take.
const OVERDUE: usize = 10;

/// All open minutes.
#[derive(Debug)]
pub struct OpenMinutes {
    sums: Mutex<OpenSums>,
    /// Whether a commit ended otherwise than well: what it made durable is in the database alone.
    is_unsure: AtomicBool,
    /// Whether the clock was behind the border when it was last looked at.
    was_behind: AtomicBool,
}

impl Default for OpenMinutes {
    fn default() -> Self {
        Self {
            sums: Mutex::new(OpenSums::after(0)),
            is_unsure: AtomicBool::new(true),
            was_behind: AtomicBool::new(false),
        }
    }
}

/// A commit under way. Dropped before its end, nobody knows what it did.
pub struct Committing<'a>(&'a OpenMinutes);

impl Committing<'_> {
    /// It is durable, and stored what adds up to this.
    pub fn stored(self, receipts: &[ReceiptFacts]) {
        let mut sums = self.0.lock();
        let not_counted = receipts.iter().filter(|facts| !sums.count(facts)).count();
        if not_counted > 0 {
            // In no row either: all that is open is counted anew.
            tracing::error!(not_counted, "receipts came to a minute that was written");
            return;
        }
        self.0.ended(&sums);
    }

    /// It is durable, and wrote this piece.
    fn sealed(self, piece: &Piece) {
        let mut sums = self.0.lock();
        sums.written(piece);
        self.0.ended(&sums);
    }
}

impl OpenMinutes {
    fn lock(&self) -> MutexGuard<'_, OpenSums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit begins: nothing that was decided before is changed by it. Only the committer says so.
    pub fn committing(&self) -> Committing<'_> {
        self.is_unsure.store(true, Ordering::Relaxed);
        Committing(self)
    }

    fn ended(&self, sums: &OpenSums) {
        metrics::gauge!("ingest_open_minutes").set(sums.minutes() as f64);
        self.is_unsure.store(false, Ordering::Relaxed);
    }

    /// Counts anew where the last commit did not say how it ended; the nodes that have sums here then. Only the committer
    /// calls it, before a transaction.
    ///
    /// # Errors
    /// [`StoreError`]; it is tried again then.
    pub async fn sure(&self, store: &Store) -> Result<BTreeSet<String>, StoreError> {
        if !self.is_unsure.load(Ordering::Relaxed) {
            return Ok(BTreeSet::new());
        }
        self.load(store).await?;
        Ok(self.lock().node_ids())
    }

    /// Whether there is room for more.
    ///
    /// # Errors
    /// [`StoreError::Behind`] where too many minutes wait to be written.
    pub fn has_room(&self, now_ms: i64) -> Result<(), StoreError> {
        if self.lock().due_minutes(minute_of(now_ms)) > OVERDUE {
            return Err(StoreError::Behind {
                op: "receipt.ingest",
                what: "sums of minutes that are over",
            });
        }
        Ok(())
    }

    /// Counts the receipts that no row counts, from the database.
    pub(super) async fn load(&self, store: &Store) -> Result<(), StoreError> {
        // A transaction of ingest on SQLite begins when the one before has ended, however that was; what that one stored is
        // there then, and nobody else stores receipts. Readers need no lock for the rest.
        let by = System::of_the_server();
        let mut barrier = store.ingest_begin(by).await?;
        let sealed = barrier.rollups_sealed().await?;
        drop(barrier);
        let mut sums = OpenSums::after(sealed);
        let first_ms = sealed.saturating_add(1).saturating_mul(MINUTE_MS);
        let mut place = (first_ms - 1, i64::MAX);
        loop {
            let receipts = store.rollups_receipts_after(by, place, RECEIPTS).await?;
            let Some((last, _)) = receipts.last() else {
                break;
            };
            place = *last;
            for (_, facts) in &receipts {
                sums.count(facts);
            }
        }
        let mut now = self.lock();
        *now = sums;
        self.ended(&now);
        Ok(())
    }

    /// Whether what is received now is counted in the rows at once: always on PostgreSQL, and where the clock went back to a
    /// minute that is written.
    pub fn is_sealed(&self, now_ms: i64) -> bool {
        minute_of(now_ms) <= self.lock().sealed()
    }

    /// Says once where the clock is behind the border: sums stay right, and cost more.
    pub fn look_at_clock(&self, now_ms: i64) {
        let sealed = self.lock().sealed();
        if sealed == i64::MAX {
            return;
        }
        let behind = sealed
            .saturating_sub(minute_of(now_ms))
            .saturating_add(1)
            .max(0);
        metrics::gauge!("ingest_clock_behind_minutes").set(behind as f64);
        let is_behind = behind > 0;
        if self.was_behind.swap(is_behind, Ordering::Relaxed) != is_behind && is_behind {
            tracing::warn!(
                behind_minutes = behind,
                "the clock is behind the last sums; until it has caught up each receipt costs more"
            );
        }
    }

    /// Whether there are sums of a minute that is over.
    pub fn is_due(&self, now_ms: i64) -> bool {
        self.lock().is_due(minute_of(now_ms))
    }

    /// Writes some of them, once it is [sure](Self::sure). Only the committer calls it, between its transactions.
    ///
    /// # Errors
    /// [`StoreError`]; they are written another time.
    pub async fn seal_some(&self, store: &Store, now_ms: i64) -> Result<(), StoreError> {
        let (believed, due) = {
            let sums = self.lock();
            (sums.sealed(), sums.due(minute_of(now_ms), ROWS))
        };
        let Some(piece) = due else { return Ok(()) };
        self.check_count(store, &piece).await?;
        let mut tx = store.ingest_begin(System::of_the_server()).await?;
        if let Err(error) = tx.rollups_seal(believed, &piece).await {
            // Where the border is somewhere else, memory is wrong; any other fault changes nothing.
            if error.fault() == Fault::Corrupt {
                self.is_unsure.store(true, Ordering::Relaxed);
            }
            return Err(error);
        }
        let committing = self.committing();
        tx.commit().await?;
        committing.sealed(&piece);
        Ok(())
    }

    /// Before a minute is sealed for good: it has as many receipts as are stored of it.
    async fn check_count(&self, store: &Store, piece: &Piece) -> Result<(), StoreError> {
        let Some(network) = &piece.network else {
            return Ok(());
        };
        let first_ms = piece.minute.saturating_mul(MINUTE_MS);
        let minute = (first_ms, first_ms.saturating_add(MINUTE_MS));
        let by = System::of_the_server();
        let stored = store.rollups_receipts_between(by, minute).await?;
        let counted: i64 = network.iter().map(|(_, sums)| sums.requests).sum();
        if stored == counted {
            return Ok(());
        }
        self.is_unsure.store(true, Ordering::Relaxed);
        tracing::error!(
            stored,
            counted,
            minute = piece.minute,
            "sums are counted anew"
        );
        Err(StoreError::Corrupt {
            op: "rollups.seal",
            what: "count of receipts other than its own",
        })
    }

    fn of_node(&self, node_id: &str, from: i64, to: i64) -> Vec<(i64, RowKey, Sums)> {
        let rows = self.lock().of_node(node_id, from, to);
        rows.into_iter()
            .map(|(key, sums)| (key.minute, key, sums))
            .collect()
    }

    fn of_network(&self) -> Vec<(i64, RowKey, Sums)> {
        let minutes = self.lock().of_network();
        let rows = minutes.into_iter().flat_map(|(minute, rows)| {
            rows.into_iter().map(move |(key, sums)| (minute, key, sums))
        });
        rows.collect()
    }
}

/// The rows, and of the others those that are not in them.
fn together(open: Vec<(i64, RowKey, Sums)>, written: WrittenSums) -> Vec<(RowKey, Sums)> {
    let (mut rows, sealed) = (written.rows, written.sealed.unwrap_or(i64::MIN));
    let open = open.into_iter().filter(|(minute, ..)| *minute > sealed);
    rows.extend(open.map(|(_, key, sums)| (key, sums)));
    rows
}

impl App {
    /// Sums of a range: of the whole network, or of a node in scope. Several rows may have one key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn sums(
        &self,
        scope: &Scope,
        range: &RollupRange,
    ) -> Result<Vec<(RowKey, Sums)>, StoreError> {
        let (from, to) = (range.from_minute, range.to_minute);
        let mut open = match &range.node_id {
            Some(node_id) if self.is_in_scope(scope, node_id).await? => {
                self.open_minutes.of_node(node_id, from, to)
            }
            Some(_) => Vec::new(),
            None => self.open_minutes.of_network(),
        };
        open.retain(|(_, key, _)| {
            let is_in_region = range
                .region
                .as_ref()
                .is_none_or(|region| *region == key.region);
            is_in_region && (from..to).contains(&key.minute)
        });
        Ok(together(
            open,
            self.store.rollups_range(scope, range).await?,
        ))
    }

    async fn is_in_scope(&self, scope: &Scope, node_id: &str) -> Result<bool, StoreError> {
        let Ok(node_id) = NodeId::parse(node_id) else {
            return Ok(false);
        };
        Ok(self.store.node_get(scope, &node_id).await?.is_some())
    }

    /// The network's sums from a minute on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn recent_sums(
        &self,
        scope: &Scope,
        from_minute: i64,
    ) -> Result<Vec<(RowKey, Sums)>, StoreError> {
        let mut open = self.open_minutes.of_network();
        open.retain(|(_, key, _)| key.minute >= from_minute);
        let written = self.store.rollups_recent(scope, from_minute).await?;
        Ok(together(open, written))
    }

    /// A node's last 24 hours up to and with the hour of `minute`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn day_of(&self, node_id: &str, minute: i64) -> Result<DayWindow, StoreError> {
        let open = self
            .open_minutes
            .of_node(node_id, first_minute(minute), minute + 1);
        let by = System::of_the_server();
        let written = self.store.rollups_day(by, node_id, minute).await?;
        Ok(DayWindow::of_rows(&together(open, written)))
    }
}
