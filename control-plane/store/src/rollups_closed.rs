//! Rows of organisations, and over all nodes by minute, made from the rows of nodes once a quarter of an hour is over.
//!
//! Ingest does not write them: with each commit they would be as many as the organisations in it. They are made a quarter at a
//! time, by one reader and in short transactions, and count for nothing until the border ([`Store::rollups_closed`]) has passed
//! them. Who adds to older minutes, because a clock went back or a commit took long, adds to these rows as well where they count
//! already; where they are being made, it says so, and they are made anew.
//!
//! Invariant: the rows before the border add up to the rows of nodes.

use crate::retention::Step;
use crate::rollups::RollupConnection as _;
use crate::{Store, StoreError, System, in_tx, on_read};
use dgon_control_plane_model::rollup::{
    Batch, MINUTE_MS, QUARTER_MINUTES, ReceiptFacts, RowKey, Sums, add_closed, quarter_of,
    sum_up_closed,
};
use std::time::Instant;

const OP: &str = "rollups.close";
/// Rows of one transaction: other writers wait no longer than for these.
const ROWS: usize = 250;
/// Receipts that are read at once where a row cannot be read.
const RECEIPTS: i64 = 10_000;

/// How far quarters are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Closed {
    /// The first minute that is not.
    pub(crate) minute: i64,
    /// The first minute after those that are being closed.
    pub(crate) closing: i64,
    /// How many transactions have added to minutes before that.
    pub(crate) late: i64,
}

/// How the closing of a quarter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// There is none that is over and not closed.
    Nothing,
    /// The border has moved; for how long that held others up, in all of its transactions.
    Closed(Step),
    /// Somebody added to it meanwhile; it is to be tried again.
    Disturbed,
}

/// What is to be closed.
struct Quarter {
    /// What the database said when it began.
    closed: Closed,
    /// Its first minute.
    first: i64,
    /// The last minute of which rows are whole.
    sealed: i64,
}

impl Store {
    /// The first minute that is not closed, unix minutes.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn rollups_closed(&self, _by: System) -> Result<i64, StoreError> {
        on_read!(self, conn => sqlx::query_scalar("SELECT minute FROM rollups_closed")
            .fetch_one(conn)
            .await)
        .map_err(StoreError::query(OP))
    }

    /// The first minute that has sums and is not closed, unix minutes.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn rollups_unclosed(&self, _by: System) -> Result<Option<i64>, StoreError> {
        const TEXT: &str = "SELECT MIN(minute) FROM rollups WHERE minute >= (SELECT c.minute FROM rollups_closed c)";
        on_read!(self, conn => sqlx::query_scalar(TEXT).fetch_one(conn).await)
            .map_err(StoreError::query(OP))
    }

    /// Closes the next quarter of an hour that ends at or before `before` and in which something was received; what was received
    /// from `receipts_from` on is still there as receipts, and by the minute. All are unix minutes. A quarter in which nothing
    /// was received is not passed: a clock that is wrong for a moment must not close what is to come.
    ///
    /// # Errors
    /// [`StoreError`]; the quarter is closed another time.
    pub async fn rollups_close_next(
        &self,
        by: System,
        before: i64,
        receipts_from: i64,
    ) -> Result<Closing, StoreError> {
        self.close_next(by, before, receipts_from, ROWS).await
    }

    pub(crate) async fn close_next(
        &self,
        by: System,
        before: i64,
        receipts_from: i64,
        rows_at_once: usize,
    ) -> Result<Closing, StoreError> {
        // Looked at before anybody is kept from writing.
        let first = self.rollups_unclosed(by).await?;
        if first.is_none_or(|first| quarter_of(first) + QUARTER_MINUTES > before) {
            return Ok(Closing::Nothing);
        }
        let Some(quarter) = self.announce(before).await? else {
            return Ok(Closing::Nothing);
        };
        let rows = self.closed_rows(by, &quarter, receipts_from).await?;
        let rows: Vec<(RowKey, Sums)> = rows.into_iter().collect();
        self.write_closed(&quarter.closed, &rows, rows_at_once)
            .await
    }

    /// Says up to where rows are being made: who adds to them from now on, says so.
    async fn announce(&self, before: i64) -> Result<Option<Quarter>, StoreError> {
        const NEXT: &str = "SELECT MIN(minute) FROM rollups WHERE minute >= $1";
        const ANNOUNCE: &str = "UPDATE rollups_closed SET closing = $1";
        let quarter = in_tx!(self, "rollups.announce", tx => {
            tx.lock_sums().await?;
            let mut closed = tx.closed().await?;
            let sealed: i64 = sqlx::query_scalar("SELECT minute FROM rollups_sealed")
                .fetch_one(&mut *tx)
                .await
                .map_err(StoreError::query(OP))?;
            let next: Option<i64> = sqlx::query_scalar(NEXT)
                .bind(closed.minute)
                .fetch_one(&mut *tx)
                .await
                .map_err(StoreError::query(OP))?;
            // What is written of a minute that is not sealed is a part of it.
            let first = next.filter(|next| *next <= sealed).map(quarter_of);
            let end = first.map_or(i64::MAX, |first| first + QUARTER_MINUTES);
            match first.filter(|_| end <= before) {
                None => None,
                Some(first) => {
                    closed.closing = end;
                    let announced = sqlx::query(ANNOUNCE).bind(end).execute(&mut *tx).await;
                    announced.map_err(StoreError::query(OP))?;
                    Some(Quarter { closed, first, sealed })
                }
            }
        });
        Ok(quarter)
    }

    /// The rows of a quarter, made from those of nodes, minute by minute.
    async fn closed_rows(
        &self,
        by: System,
        quarter: &Quarter,
        receipts_from: i64,
    ) -> Result<Batch, StoreError> {
        let mut rows = Batch::new();
        let last = quarter.sealed.min(quarter.first + QUARTER_MINUTES - 1);
        for minute in quarter.first..=last {
            let found = self.node_minutes(by, minute).await?;
            let damaged = found.iter().filter_map(|found| found.as_ref().err());
            let mut is_damaged = false;
            for node_id in damaged {
                is_damaged = true;
                tracing::error!(
                    node_id,
                    minute,
                    is_counted = minute >= receipts_from,
                    "sums of a node cannot be read; those of its organisation and of all nodes are counted from the minute's \
                     receipts, or lack it where these are gone"
                );
            }
            if is_damaged && minute >= receipts_from {
                for (key, sums) in self.closed_rows_of_receipts(by, minute).await? {
                    rows.entry(key).or_default().merge(&sums);
                }
                continue;
            }
            for row in found.into_iter().flatten() {
                add_closed(&mut rows, &row.key, &row.sums);
            }
        }
        Ok(rows)
    }

    async fn closed_rows_of_receipts(&self, by: System, minute: i64) -> Result<Batch, StoreError> {
        let (first_ms, end_ms) = (minute * MINUTE_MS, (minute + 1) * MINUTE_MS);
        let (mut place, mut rows) = ((first_ms - 1, i64::MAX), Batch::new());
        while place.0 < end_ms {
            let found = self.rollups_receipts_after(by, place, RECEIPTS).await?;
            let Some((last, _)) = found.last() else { break };
            place = *last;
            let facts = found.into_iter().map(|(_, facts)| facts);
            let of_minute: Vec<ReceiptFacts> = facts
                .filter(|facts| facts.received_at_ms < end_ms)
                .collect();
            for (key, sums) in sum_up_closed(&of_minute, minute + 1) {
                rows.entry(key).or_default().merge(&sums);
            }
        }
        Ok(rows)
    }

    /// Writes the rows, a piece at a time, and with the last one moves the border.
    async fn write_closed(
        &self,
        quarter: &Closed,
        rows: &[(RowKey, Sums)],
        rows_at_once: usize,
    ) -> Result<Closing, StoreError> {
        const MOVE: &str = "UPDATE rollups_closed SET minute = closing";
        let (mut left, mut step) = (rows, Step::default());
        loop {
            let (piece, rest) = left.split_at(left.len().min(rows_at_once));
            let (start, worked);
            in_tx!(self, "rollups.close", tx => {
                tx.lock_sums().await?;
                start = Instant::now();
                if tx.closed().await? != *quarter {
                    return Ok(Closing::Disturbed);
                }
                tx.replace(piece).await?;
                if rest.is_empty() {
                    let moved = sqlx::query(MOVE).execute(&mut *tx).await;
                    moved.map_err(StoreError::query(OP))?;
                }
                worked = start.elapsed();
            });
            step.rows += piece.len() as u64;
            step.held += start.elapsed();
            step.worked += worked;
            left = rest;
            if left.is_empty() {
                return Ok(Closing::Closed(step));
            }
        }
    }
}
