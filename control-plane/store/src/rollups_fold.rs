//! Sums per minute that are old become sums per hour, once they are closed.
//!
//! An hour is folded node by node: its rows are merged into the one of the hour's first minute. Rows that old are
//! written by nobody else; should one have changed in between, the step is undone and comes again. The sums stay the
//! same, so a range that begins and ends on a full hour is counted as before.

use crate::retention::Step;
use crate::rollups::RollupConnection as _;
use crate::rollups_range::{RollupRange, SumsOf};
use crate::{Store, StoreError, System, in_tx, on_read};
use dgon_control_plane_model::rollup::{NETWORK_MINUTES, RowKey, Sums};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const OP: &str = "rollups.fold";
/// Minutes of an hour.
pub const HOUR_MINUTES: i64 = 60;

impl Store {
    /// The first hour at or after `from` that has sums and ends at or before `before`, both unix minutes.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn rollups_hour(
        &self,
        _by: System,
        from: i64,
        before: i64,
    ) -> Result<Option<i64>, StoreError> {
        let first: Option<i64> = on_read!(self, conn =>
            sqlx::query_scalar("SELECT MIN(minute) FROM rollups WHERE minute >= $1 AND minute < $2")
                .bind(from)
                .bind(before)
                .fetch_one(conn)
                .await
                .map_err(StoreError::query(OP)))?;
        let hour = first.map(|minute| minute - minute.rem_euclid(HOUR_MINUTES));
        Ok(hour.filter(|hour| hour + HOUR_MINUTES <= before))
    }

    /// Folds the sums of at most `nodes` nodes in the hour that begins at `hour`; no rows when all are folded.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rollups_fold(
        &self,
        by: System,
        hour: i64,
        nodes: i64,
    ) -> Result<Step, StoreError> {
        let end = hour + HOUR_MINUTES;
        let found: Vec<String> = on_read!(self, conn => sqlx::query_scalar(
                "SELECT DISTINCT node_id FROM rollups WHERE minute > $1 AND minute < $2 LIMIT $3")
            .bind(hour)
            .bind(end)
            .bind(nodes)
            .fetch_all(conn)
            .await
            .map_err(StoreError::query(OP)))?;
        let mut step = Step::default();
        for node_id in found {
            // Rows of organisations are found by their name, as those of nodes are.
            let range = RollupRange {
                of: SumsOf::Node(node_id.clone()),
                region: None,
                from_minute: hour,
                to_minute: end,
            };
            let mut minutes = self.rollups_range(&by.into(), &range).await?.rows;
            let count = minutes.len() as u64;
            if node_id == NETWORK_MINUTES {
                // They serve ranges that do not end on a quarter of an hour, and such ones end on an hour by now.
                minutes.clear();
            }
            let mut merged: BTreeMap<RowKey, Sums> = BTreeMap::new();
            for (key, sums) in minutes {
                let key = RowKey {
                    minute: hour,
                    ..key
                };
                merged.entry(key).or_default().merge(&sums);
            }
            let mut rows: Vec<(RowKey, Sums)> = merged.into_iter().collect();
            // Those of a single row, too: it moves to the first minute, and there are other nodes.
            step.rows += count;
            let (held, worked) = self.replace_hour(&node_id, hour, count, &mut rows).await?;
            step.held = step.held.max(held);
            step.worked = step.worked.max(worked);
        }
        Ok(step)
    }

    /// Puts the merged rows in the place of `count` others; how long that held the others up, and
    /// how much of it was not the commit.
    async fn replace_hour(
        &self,
        node_id: &str,
        hour: i64,
        count: u64,
        rows: &mut [(RowKey, Sums)],
    ) -> Result<(Duration, Duration), StoreError> {
        let (start, worked);
        in_tx!(self, "rollups.fold", tx => {
            // First, as ingest does: who waits for the other's rows and the other for this would wait for ever.
            tx.lock_sums().await?;
            start = Instant::now();
            let deleted = sqlx::query("DELETE FROM rollups WHERE node_id = $1 AND minute >= $2 AND minute < $3")
                .bind(node_id)
                .bind(hour)
                .bind(hour + HOUR_MINUTES)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query(OP))?
                .rows_affected();
            if deleted != count {
                return Err(StoreError::Query { op: OP, source: sqlx::Error::RowNotFound });
            }
            tx.apply(rows).await?;
            worked = start.elapsed();
        });
        Ok((start.elapsed(), worked))
    }
}
