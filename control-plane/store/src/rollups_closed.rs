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
    Batch, DAY_MINUTES, MINUTE_MS, QUARTER_MINUTES, ReceiptFacts, RowKey, Sums, add_closed,
    quarter_of, sum_up_closed,
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
    /// The border has moved, and what was written for it held up others for so long.
    Closed(Step),
    /// Somebody added to it meanwhile; it is to be tried again.
    Disturbed,
}

/// What is to be closed.
struct Quarter {
    /// What the database said when it began.
    closed: Closed,
    /// Its first minute; `None` where there is nothing up to the new border.
    first: Option<i64>,
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

    /// Closes the next quarter of an hour that ends at or before `before`, unix minutes, and in which something was received.
    ///
    /// # Errors
    /// [`StoreError`]; the quarter is closed another time.
    pub async fn rollups_close_next(&self, by: System, before: i64) -> Result<Closing, StoreError> {
        let end = quarter_of(before);
        if self.rollups_closed(by).await? >= end {
            return Ok(Closing::Nothing);
        }
        let Some(quarter) = self.announce(end).await? else {
            return Ok(Closing::Nothing);
        };
        let rows = match quarter.first {
            Some(first) => self.closed_rows(by, first, end).await?,
            None => Batch::new(),
        };
        self.write_closed(&quarter.closed, rows.into_iter().collect())
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
            let end = quarter_of(before.min(sealed.saturating_add(1)));
            if end <= closed.minute {
                None
            } else {
                let next: Option<i64> = sqlx::query_scalar(NEXT)
                    .bind(closed.minute)
                    .fetch_one(&mut *tx)
                    .await
                    .map_err(StoreError::query(OP))?;
                let first = next.map(quarter_of).filter(|first| *first < end);
                closed.closing = first.map_or(end, |first| first + QUARTER_MINUTES);
                let announced = sqlx::query(ANNOUNCE).bind(closed.closing).execute(&mut *tx).await;
                announced.map_err(StoreError::query(OP))?;
                Some(Quarter { closed, first })
            }
        });
        Ok(quarter)
    }

    /// The rows of a quarter, made from those of nodes, minute by minute.
    async fn closed_rows(&self, by: System, first: i64, end: i64) -> Result<Batch, StoreError> {
        let mut rows = Batch::new();
        for minute in first..first + QUARTER_MINUTES {
            match self.node_minutes(by, minute).await {
                Ok(found) => {
                    for row in found {
                        add_closed(&mut rows, &row.key, row.org_id.as_deref(), &row.sums);
                    }
                }
                // What lies longer back may be an hour's, of which the receipts of a minute are a part.
                Err(StoreError::Corrupt { op, what }) if minute > end - DAY_MINUTES => {
                    tracing::error!(
                        op,
                        what,
                        minute,
                        "sums of a node cannot be read; those over all nodes are counted from the minute's receipts"
                    );
                    for (key, sums) in self.closed_rows_of_receipts(by, minute).await? {
                        rows.entry(key).or_default().merge(&sums);
                    }
                }
                Err(error) => return Err(error),
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
        rows: Vec<(RowKey, Sums)>,
    ) -> Result<Closing, StoreError> {
        const MOVE: &str = "UPDATE rollups_closed SET minute = closing";
        let (mut left, mut step) = (rows.as_slice(), Step::default());
        loop {
            let (piece, rest) = left.split_at(left.len().min(ROWS));
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
            step.held = step.held.max(start.elapsed());
            step.worked = step.worked.max(worked);
            left = rest;
            if left.is_empty() {
                return Ok(Closing::Closed(step));
            }
        }
    }
}
