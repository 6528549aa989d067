//! The network's last day as it is now, of which what is long over is seldom read.
//!
//! A row over all nodes hardly ever changes once its quarter of an hour is over and written. What changes it then (a row that
//! is rebuilt, receipts of a clock that was put back, on PostgreSQL a batch that waited for the database) shows within a minute,
//! because for so long those rows are remembered. What is read each time is what is not written for good.

use super::QueryError;
use crate::app::App;
use dgon_control_plane_model::network_day::NetworkDay;
use dgon_control_plane_model::rollup::{QUARTER_MINUTES, minute_of, quarter_of};
use std::sync::{Arc, Mutex, PoisonError};

/// How long rows that do not change any more are believed, ms.
const BELIEVED_MS: i64 = 60_000;

/// What was read of a day that does not change any more.
#[derive(Debug, Default)]
pub(super) struct Settled(Mutex<Option<Arc<Part>>>);

#[derive(Debug)]
struct Part {
    /// When it was read, ms of monotonic time.
    read_ms: i64,
    /// The first minute that is none of it, unix minutes.
    end: i64,
    day: NetworkDay,
}

impl Settled {
    /// What is known of the day that begins with this minute.
    fn of_day(&self, first_minute: i64, mono_ms: i64) -> Option<Arc<Part>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|part| {
            part.day.first_minute() == first_minute && mono_ms - part.read_ms < BELIEVED_MS
        });
        known.cloned()
    }

    fn remember(&self, part: Part) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(part));
    }
}

impl App {
    /// The network's last day, up to now.
    pub(super) async fn network_day(&self, now_ms: i64) -> Result<NetworkDay, QueryError> {
        let (minute, read_ms) = (minute_of(now_ms), self.clock.mono_ms());
        let mut day = NetworkDay::until(minute);
        let settled = &self.summaries.settled;
        if let Some(part) = settled.of_day(day.first_minute(), read_ms) {
            day.clone_from(&part.day);
            for (key, sums) in self.recent_sums(part.end).await?.rows {
                day.add(&key, &sums);
            }
            return Ok(day);
        }
        let recent = self.recent_sums(day.first_minute()).await?;
        // The quarter before is still written to by who was a little late.
        let over = quarter_of(minute) - QUARTER_MINUTES;
        let end = recent
            .sealed
            .map(|sealed| quarter_of(sealed.saturating_add(1)).min(over));
        let (old, new): (Vec<_>, Vec<_>) = recent
            .rows
            .into_iter()
            .partition(|(key, _)| end.is_some_and(|end| key.minute < end));
        for (key, sums) in &old {
            day.add(key, sums);
        }
        if let Some(end) = end {
            let day = day.clone();
            settled.remember(Part { read_ms, end, day });
        }
        for (key, sums) in &new {
            day.add(key, sums);
        }
        Ok(day)
    }
}
