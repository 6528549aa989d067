//! Sums of the minutes that are not rows yet, beside those that are.
//!
//! Only the committer counts here, after a commit and before anybody is answered, and writes what is over: it holds
//! [`Counting`], of which there is one. Whoever reads sums reads here first and then the rows: what is written in between is in
//! both, and the border that comes with the rows says so.

use super::App;
use dgon_control_plane_model::open_sums::{OpenSums, Piece};
use dgon_control_plane_model::rollup::{
    MINUTE_MS, ReceiptFacts, RowKey, Sums, minute_of, quarter_of,
};
use dgon_control_plane_model::window::{DayWindow, first_minute};
use dgon_control_plane_store::rollups_range::{RollupRange, SumsOf, Total, WrittenSums};
use dgon_control_plane_store::{Fault, IngestTx, Network, Scope, Store, StoreError, System};
use dgon_protocol::id::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows of one piece: other writers wait no longer than for these.
const ROWS: usize = 250;
/// Receipts that are read at once where they are counted anew.
const RECEIPTS: i64 = 10_000;
/// Minutes that may be over and not written. Where there are more, receipts wait: memory is not for what the database does
/// not take.
const OVERDUE: usize = 10;

/// The right to count and to move the border. There is one: two who did it at once would leave receipts out of every sum.
#[derive(Debug)]
pub struct Counting(());

/// All open minutes.
#[derive(Debug)]
pub struct OpenMinutes {
    sums: Mutex<OpenSums>,
    /// Until somebody has it.
    counting: Mutex<Option<Counting>>,
    /// Where a commit ended otherwise than well, so that what it made durable is in the database alone: whose receipts it
    /// may have stored.
    unsure: Mutex<Option<BTreeSet<NodeId>>>,
    /// Whether the clock was behind the border when it was last looked at.
    was_behind: AtomicBool,
}

impl Default for OpenMinutes {
    fn default() -> Self {
        Self {
            sums: Mutex::new(OpenSums::after(0)),
            counting: Mutex::new(Some(Counting(()))),
            unsure: Mutex::new(Some(BTreeSet::new())),
            was_behind: AtomicBool::new(false),
        }
    }
}

/// A commit under way. Dropped before its end, nobody knows what it did.
pub struct Committing<'a> {
    open: &'a OpenMinutes,
    node_ids: Vec<&'a NodeId>,
    is_over: bool,
}

impl Committing<'_> {
    /// It is durable, and stored what adds up to this.
    pub fn stored(mut self, receipts: &[ReceiptFacts]) {
        self.is_over = true;
        let mut sums = self.open.lock();
        let not_counted = receipts.iter().filter(|facts| !sums.count(facts)).count();
        if not_counted > 0 {
            // Who counts moves the border, and not between the decision and the commit.
            tracing::error!(
                not_counted,
                "receipts are in no sum; this is a fault of the program"
            );
        }
        metrics::gauge!("ingest_open_minutes").set(sums.minutes() as f64);
    }

    /// It is durable, and wrote this piece.
    fn sealed(mut self, piece: &Piece) {
        self.is_over = true;
        let mut sums = self.open.lock();
        sums.written(piece);
        metrics::gauge!("ingest_open_minutes").set(sums.minutes() as f64);
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.open.doubt(self.node_ids.iter().copied().cloned());
        }
    }
}

impl OpenMinutes {
    fn lock(&self) -> MutexGuard<'_, OpenSums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsure(&self) -> MutexGuard<'_, Option<BTreeSet<NodeId>>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counting(&self) -> MutexGuard<'_, Option<Counting>> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to count; `None` where somebody has it.
    pub fn take_counting(&self) -> Option<Counting> {
        self.counting().take()
    }

    /// Nobody knows which receipts of these nodes are stored: all is counted anew before the next transaction.
    pub fn doubt(&self, node_ids: impl IntoIterator<Item = NodeId>) {
        self.unsure().get_or_insert_default().extend(node_ids);
    }

    /// A commit begins, of receipts of these nodes.
    pub fn committing<'a>(
        &'a self,
        _counting: &'a mut Counting,
        node_ids: Vec<&'a NodeId>,
    ) -> Committing<'a> {
        Committing {
            open: self,
            node_ids,
            is_over: false,
        }
    }

    /// Counts what is open before anybody stores receipts, so that the figures are there when the server is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn begin(&self, store: &Store) -> Result<(), StoreError> {
        let Some(mut counting) = self.take_counting() else {
            return Ok(());
        };
        let begun = self.sure(&mut counting, store).await;
        *self.counting() = Some(counting);
        begun.map(drop)
    }

    /// Counts anew where the last commit did not say how it ended; the nodes whose receipts it may have stored. To be called
    /// before a transaction.
    ///
    /// # Errors
    /// [`StoreError`]; it is tried again then.
    pub async fn sure(
        &self,
        _counting: &mut Counting,
        store: &Store,
    ) -> Result<BTreeSet<NodeId>, StoreError> {
        if self.unsure().is_none() {
            return Ok(BTreeSet::new());
        }
        self.load(store).await?;
        Ok(self.unsure().take().unwrap_or_default())
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
    async fn load(&self, store: &Store) -> Result<(), StoreError> {
        // A transaction of ingest on SQLite begins when the one before has ended, however that was; what that one stored is
        // there then, and nobody else stores receipts. Readers need no lock for the rest.
        let by = System::of_the_server();
        let mut barrier = store.ingest_begin(by).await?;
        let sealed = barrier.rollups_sealed().await?;
        drop(barrier);
        let mut sums = OpenSums::after(sealed);
        let first_ms = sealed.saturating_add(1).saturating_mul(MINUTE_MS);
        let count = |facts: &ReceiptFacts| {
            sums.count(facts);
        };
        each_received(store, (first_ms, i64::MAX), count).await?;
        *self.lock() = sums;
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

    /// Writes some of them, once it is [sure](Self::sure).
    ///
    /// # Errors
    /// [`StoreError`]; they are written another time.
    pub async fn seal_some(
        &self,
        counting: &mut Counting,
        store: &Store,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let (believed, due) = {
            let sums = self.lock();
            (sums.sealed(), sums.due(minute_of(now_ms), ROWS))
        };
        let Some(mut piece) = due else { return Ok(()) };
        let mut network = Network::Adds;
        loop {
            let mut tx = store.ingest_begin(System::of_the_server()).await?;
            if !self
                .is_as_stored(&mut tx, believed, &piece, network)
                .await?
            {
                self.doubt([]);
                return Err(StoreError::Behind {
                    op: "rollups.seal",
                    what: "sums that are not those of the receipts, and are counted again first,",
                });
            }
            match tx.rollups_seal(&piece, network).await {
                Ok(()) => {
                    let committing = self.committing(counting, Vec::new());
                    tx.commit().await?;
                    committing.sealed(&piece);
                    return Ok(());
                }
                Err(error) if error.fault() == Fault::Corrupt && network == Network::Adds => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the sums of a quarter of an hour cannot be read; they are counted from its receipts"
                    );
                }
                Err(error) => return Err(error),
            }
            drop(tx);
            piece.network = Some(self.quarter_of_network(store, piece.minute).await?);
            network = Network::Whole;
        }
    }

    /// Whether the border is where it is believed to be and, before a minute is sealed for good, whether as many receipts
    /// are stored of it as were counted.
    async fn is_as_stored(
        &self,
        tx: &mut IngestTx,
        believed: i64,
        piece: &Piece,
        network: Network,
    ) -> Result<bool, StoreError> {
        let stored_border = tx.rollups_sealed().await?;
        let (Some(rows), Network::Adds) = (&piece.network, network) else {
            return Ok(stored_border == believed);
        };
        let first_ms = piece.minute.saturating_mul(MINUTE_MS);
        let minute = (first_ms, first_ms.saturating_add(MINUTE_MS));
        let stored = tx.rollups_receipts_between(minute).await?;
        let counted: i64 = rows.iter().map(|(_, sums)| sums.requests).sum();
        if stored_border != believed || stored != counted {
            tracing::error!(
                stored_border,
                believed,
                stored,
                counted,
                "sums are not those of the receipts"
            );
            return Ok(false);
        }
        Ok(true)
    }

    /// The rows over all nodes of a minute's quarter of an hour, up to and with that minute, counted from the receipts.
    async fn quarter_of_network(
        &self,
        store: &Store,
        minute: i64,
    ) -> Result<Vec<(RowKey, Sums)>, StoreError> {
        let mut quarter = BTreeMap::new();
        let count = |facts: &ReceiptFacts| {
            let key = RowKey::of_network(minute, &facts.region);
            let sums: &mut Sums = quarter.entry(key).or_default();
            sums.count(facts);
        };
        let from_ms = quarter_of(minute).saturating_mul(MINUTE_MS);
        let to_ms = minute.saturating_add(1).saturating_mul(MINUTE_MS);
        each_received(store, (from_ms, to_ms), count).await?;
        Ok(quarter.into_iter().collect())
    }

    fn of_node(&self, node_id: &str, from: i64, to: i64) -> Vec<(i64, RowKey, Sums)> {
        let rows = self.lock().of_node(node_id, from, to);
        rows.into_iter()
            .map(|(key, sums)| (key.minute, key, sums))
            .collect()
    }

    fn of_organisation(&self, org_id: &str, from: i64, to: i64) -> Vec<(i64, RowKey, Sums)> {
        let rows = self.lock().of_organisation(org_id, from, to);
        rows.into_iter()
            .map(|(minute, region, sums)| {
                (minute, RowKey::of_node(org_id, minute, &region, None), sums)
            })
            .collect()
    }

    fn of_network_minutes(&self) -> Vec<(i64, RowKey, Sums)> {
        let mut rows = self.of_network();
        for (minute, key, _) in &mut rows {
            *key = RowKey::of_network_minute(*minute, &key.region);
        }
        rows
    }

    fn of_network(&self) -> Vec<(i64, RowKey, Sums)> {
        let minutes = self.lock().of_network();
        let rows = minutes.into_iter().flat_map(|(minute, rows)| {
            rows.into_iter().map(move |(key, sums)| (minute, key, sums))
        });
        rows.collect()
    }
}

/// Reads the receipts that were received from a time to before another, unix ms, one after the other.
async fn each_received(
    store: &Store,
    (from_ms, to_ms): (i64, i64),
    mut each: impl FnMut(&ReceiptFacts),
) -> Result<(), StoreError> {
    let by = System::of_the_server();
    let mut place = (from_ms - 1, i64::MAX);
    loop {
        let receipts = store.rollups_receipts_after(by, place, RECEIPTS).await?;
        let Some((last, _)) = receipts.last() else {
            return Ok(());
        };
        place = *last;
        for (_, facts) in receipts.iter().filter(|((at_ms, _), _)| *at_ms < to_ms) {
            each(facts);
        }
        if place.0 >= to_ms {
            return Ok(());
        }
    }
}

/// The rows, and of the others those that are not in them.
fn together(open: Vec<(i64, RowKey, Sums)>, mut sums: WrittenSums) -> WrittenSums {
    let sealed = sums.sealed.unwrap_or(i64::MIN);
    let open = open.into_iter().filter(|(minute, ..)| *minute > sealed);
    sums.rows.extend(open.map(|(_, key, sums)| (key, sums)));
    sums
}

impl App {
    /// What a range adds up to: of the whole network, or of a node or an organisation in scope; `None` where not all of
    /// that can be read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn total(
        &self,
        scope: &Scope,
        range: &RollupRange,
    ) -> Result<Option<Sums>, StoreError> {
        let (from, to) = (range.from_minute, range.to_minute);
        let mut open = match &range.of {
            SumsOf::Node(node_id) => {
                let mut rows = self.open_minutes.of_node(node_id, from, to);
                let org_of = |key: &RowKey| Some(key.org_id.clone()).filter(|org| !org.is_empty());
                rows.retain(|(_, key, _)| scope.owns(org_of(key).as_deref()));
                rows
            }
            // Closed, too: by a clock that is another now, something may have come since.
            SumsOf::OrganisationsNodes(org_id) | SumsOf::Organisation(org_id)
                if scope.owns(Some(org_id)) =>
            {
                self.open_minutes.of_organisation(org_id, from, to)
            }
            SumsOf::Network => self.open_minutes.of_network(),
            SumsOf::NetworkMinutes => self.open_minutes.of_network_minutes(),
            SumsOf::OrganisationsNodes(_) | SumsOf::Organisation(_) => Vec::new(),
        };
        let total = self.store.rollups_total(scope, range).await?;
        let Total::Whole { mut sums, sealed } = total else {
            return Ok(None);
        };
        // Read before: what was written in between is in both.
        open.retain(|(minute, key, _)| {
            let is_in_region = range
                .region
                .as_ref()
                .is_none_or(|region| *region == key.region);
            let is_open = sealed.is_none_or(|sealed| *minute > sealed);
            is_open && is_in_region && (from..to).contains(&key.minute)
        });
        for (_, _, open) in &open {
            sums.merge(open);
        }
        Ok(Some(sums))
    }

    /// The first minute that is not closed, unix minutes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn closed_minute(&self) -> Result<i64, StoreError> {
        self.store.rollups_closed(System::of_the_server()).await
    }

    /// The network's sums from a minute on, and up to which minute they are those of rows alone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn recent_sums(&self, from_minute: i64) -> Result<WrittenSums, StoreError> {
        let mut open = self.open_minutes.of_network();
        open.retain(|(_, key, _)| key.minute >= from_minute);
        let by = System::of_the_server();
        let written = self.store.rollups_recent(by, from_minute).await?;
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
        Ok(DayWindow::of_rows(&together(open, written).rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_did_not_say_how_it_ended_is_doubted_and_one_that_did_is_not() {
        let open = OpenMinutes::default();
        let mut counting = open.take_counting().expect("nobody has it");
        assert!(open.take_counting().is_none());
        let node_id = NodeId::parse("a").expect("id");
        open.unsure().take();
        open.committing(&mut counting, vec![&node_id]).stored(&[]);
        assert_eq!(*open.unsure(), None);
        drop(open.committing(&mut counting, vec![&node_id]));
        assert_eq!(open.unsure().take(), Some(BTreeSet::from([node_id])));
    }
}
