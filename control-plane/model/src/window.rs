//! A node's last 24 hours: the hour of now and the 23 before it, a count and a sketch for each.
//!
//! Hours, so that a day is 24 small things in memory and old ones fall off whole. Counting is associative, as in
//! [`crate::rollup`], so a day read from rows and continued in memory equals the day read later.

use crate::rollup::{RowKey, Sums};
use crate::sketch::Sketch;
use std::collections::BTreeMap;

/// Minutes in the step of a day's window.
pub const HOUR_MINUTES: i64 = 60;
/// Steps of a day's window.
pub const HOURS: i64 = 24;

/// What one hour adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Hour {
    requests: i64,
    ttft: Sketch,
}

/// The last 24 hours of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DayWindow(BTreeMap<i64, Hour>);

/// The first minute of the window that ends with the hour of `minute`.
pub const fn first_minute(minute: i64) -> i64 {
    (minute.div_euclid(HOUR_MINUTES) - (HOURS - 1)) * HOUR_MINUTES
}

impl DayWindow {
    /// The window over rows of one node.
    pub fn of_rows<'r>(rows: impl IntoIterator<Item = &'r (RowKey, Sums)>) -> Self {
        let mut window = Self::default();
        for (key, sums) in rows {
            let hour = window.hour(key.minute);
            hour.requests = hour.requests.saturating_add(sums.requests);
            hour.ttft.merge(&sums.ttft);
        }
        window
    }

    fn hour(&mut self, minute: i64) -> &mut Hour {
        self.0.entry(minute.div_euclid(HOUR_MINUTES)).or_default()
    }

    /// Counts one receipt; `ttft_ms` is absent where its answer did not come whole or was not measured.
    pub fn count(&mut self, minute: i64, ttft_ms: Option<u64>) {
        let hour = self.hour(minute);
        hour.requests = hour.requests.saturating_add(1);
        hour.ttft.extend(ttft_ms);
    }

    /// Forgets the hours that the window of `minute` does not have.
    pub fn forget_before(&mut self, minute: i64) {
        let first = first_minute(minute).div_euclid(HOUR_MINUTES);
        self.0 = self.0.split_off(&first);
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Receipts.
    pub fn requests(&self) -> i64 {
        let hours = self.0.values();
        hours.fold(0, |sum, hour| sum.saturating_add(hour.requests))
    }

    /// 95th percentile of the time to first token, ms; `None` where none was measured.
    pub fn p95_ms(&self) -> Option<i64> {
        let mut all = Sketch::new();
        self.0.values().for_each(|hour| all.merge(&hour.ttft));
        all.p95().and_then(|ms| i64::try_from(ms).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100 * HOUR_MINUTES + 30;

    #[test]
    fn hours_fall_off_whole() {
        let mut window = DayWindow::default();
        for (minute, ttft_ms) in [
            (first_minute(NOW) - 1, Some(9_000)),
            (first_minute(NOW), Some(100)),
            (NOW, Some(200)),
            (NOW, None),
        ] {
            window.count(minute, ttft_ms);
        }
        assert_eq!(window.requests(), 4);
        window.forget_before(NOW);
        assert_eq!((window.requests(), window.p95_ms()), (3, Some(200)));
        window.forget_before(NOW + 30);
        assert_eq!((window.requests(), window.p95_ms()), (2, Some(200)));
        window.forget_before(NOW + 24 * HOUR_MINUTES);
        assert!(window.is_empty());
        assert_eq!((window.requests(), window.p95_ms()), (0, None));
    }

    #[test]
    fn a_day_read_from_rows_and_continued_equals_the_day_counted() {
        let (mut counted, mut rows) = (DayWindow::default(), Vec::new());
        for n in 0..50_i64 {
            let minute = NOW - n * 13;
            let ttft = u64::try_from(n * 7).ok();
            counted.count(minute, ttft);
            let mut sums = Sums {
                requests: 1,
                ..Sums::default()
            };
            sums.ttft.extend(ttft);
            let key = RowKey {
                node_id: "n".to_owned(),
                minute,
                region: String::new(),
                org_id: String::new(),
            };
            rows.push((key, sums));
        }
        let (head, tail) = rows.split_at(20);
        let mut continued = DayWindow::of_rows(head);
        for (n, (key, _)) in (20_i64..).zip(tail) {
            continued.count(key.minute, u64::try_from(n * 7).ok());
        }
        assert_eq!(continued, counted);
    }
}
