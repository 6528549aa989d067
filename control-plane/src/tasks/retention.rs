//! Lets old rows go, a few at a time, and folds old sums into hours.
//!
//! The rules are `store::retention`. A run goes table by table; after each step it waits at least nine times as long as
//! the step held up other writers, so that ingest has nine tenths of the time, and a step that took long makes the next
//! ones smaller. What a run does not get done waits for nothing: the run goes on until all that is too old is gone.

use crate::app::App;
use dgon_control_plane_model::rollup::minute_of;
use dgon_control_plane_store::retention::{RULES, Rule, Step};
use dgon_control_plane_store::rollups_fold::HOUR_MINUTES;
use dgon_control_plane_store::{StoreError, System};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Rows per statement, at first and at most.
const ROWS: i64 = 100;
const ROWS_MAX: i64 = 300;
const ROWS_MIN: i64 = 10;
/// A step that worked for longer makes the next ones smaller. What its commit took does not: that is the disk's, and
/// smaller steps would only commit more often.
const WORKED_MAX: Duration = Duration::from_millis(10);
/// Shortest pause after a step.
const PAUSE: Duration = Duration::from_millis(20);
/// Nodes whose sums are folded in one step.
const FOLD_NODES: i64 = 4;

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(app.settings.retention_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut retention = Retention {
        app,
        rows: ROWS,
        folded_to: 0,
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = retention.run() => {}
        }
    }
}

struct Retention {
    app: Arc<App>,
    /// Rows of the next step.
    rows: i64,
    /// The hour up to which sums are folded, unix minutes; found anew after a start.
    folded_to: i64,
}

impl Retention {
    /// Goes through all tables. One that fails stops none of the others, and is tried again the next time.
    async fn run(&mut self) {
        for rule in &RULES {
            if let Err(error) = self.expire(rule).await {
                tracing::error!(
                    table = rule.table,
                    error = &error as &dyn std::error::Error,
                    "old rows not deleted"
                );
            }
        }
        if let Err(error) = self.fold().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "old sums not folded"
            );
        }
    }

    async fn expire(&mut self, rule: &Rule) -> Result<(), StoreError> {
        loop {
            let (periods, now_ms) = (&self.app.settings.retention, self.app.clock.now_ms());
            let store = &self.app.store;
            let step = store
                .retention_expire(System::of_the_server(), rule, periods, now_ms, self.rows)
                .await?;
            if step.rows == 0 {
                return Ok(());
            }
            self.after(rule.table, step).await;
        }
    }

    async fn fold(&mut self) -> Result<(), StoreError> {
        let days = i64::from(self.app.settings.retention.minutes_days);
        let kept = Duration::from_secs(86_400).as_millis() as i64;
        let before = minute_of(self.app.clock.now_ms() - days * kept);
        // What is not closed is made of minutes.
        let closed = self
            .app
            .store
            .rollups_closed(System::of_the_server())
            .await?;
        let before = before.min(closed);
        while let Some(hour) = self
            .app
            .store
            .rollups_hour(System::of_the_server(), self.folded_to, before)
            .await?
        {
            loop {
                let step = self
                    .app
                    .store
                    .rollups_fold(System::of_the_server(), hour, FOLD_NODES)
                    .await?;
                if step.rows == 0 {
                    break;
                }
                self.after("rollups", step).await;
            }
            self.folded_to = hour + HOUR_MINUTES;
        }
        Ok(())
    }

    /// Learns from a step, and lets the others write.
    async fn after(&mut self, table: &'static str, step: Step) {
        metrics::histogram!("retention_held_seconds", "table" => table)
            .record(step.held.as_secs_f64());
        self.rows = next_rows(self.rows, step);
        tokio::time::sleep((step.held * 9).max(PAUSE)).await;
    }
}

/// Rows of the step after this one of `rows`.
fn next_rows(rows: i64, step: Step) -> i64 {
    if step.worked > WORKED_MAX {
        (rows / 2).max(ROWS_MIN)
    } else {
        (rows + rows / 4).min(ROWS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows per step after many steps that took so long, ms.
    fn settled(worked_ms: u64, commit_ms: u64) -> i64 {
        let step = Step {
            rows: 1,
            held: Duration::from_millis(worked_ms + commit_ms),
            worked: Duration::from_millis(worked_ms),
        };
        (0..50).fold(ROWS, |rows, _| next_rows(rows, step))
    }

    #[test]
    fn steps_shrink_for_what_they_work_and_not_for_a_slow_disk() {
        assert_eq!(settled(1, 1), ROWS_MAX);
        assert_eq!(settled(1, 25), ROWS_MAX);
        assert_eq!(settled(25, 1), ROWS_MIN);
    }
}
