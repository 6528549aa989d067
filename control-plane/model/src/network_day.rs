//! The network's last 24 hours: what all receipts add up to by region, and by quarter of an hour.

use crate::rollup::{DAY_MINUTES, QUARTER_MINUTES, RowKey, Sums, quarter_of};
use std::collections::BTreeMap;

/// Quarters of an hour in a day.
const QUARTERS: usize = (DAY_MINUTES / QUARTER_MINUTES) as usize;

/// Sums of the 96 quarters of an hour that end with a certain one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkDay {
    first_minute: i64,
    by_region: BTreeMap<String, Sums>,
    quarters: Vec<Sums>,
}

impl NetworkDay {
    /// A day without receipts, up to and with the quarter of `minute`, unix minutes.
    pub fn until(minute: i64) -> Self {
        Self {
            first_minute: quarter_of(minute) - (DAY_MINUTES - QUARTER_MINUTES),
            by_region: BTreeMap::new(),
            quarters: vec![Sums::default(); QUARTERS],
        }
    }

    /// Its first minute, unix minutes.
    pub const fn first_minute(&self) -> i64 {
        self.first_minute
    }

    /// Counts a row over all nodes; one of before is none of it. What was received after its last quarter, by a clock that was
    /// put back since, counts in its region and has no quarter.
    pub fn add(&mut self, key: &RowKey, sums: &Sums) {
        let quarter = (key.minute - self.first_minute).div_euclid(QUARTER_MINUTES);
        let Ok(quarter) = usize::try_from(quarter) else {
            return;
        };
        if let Some(quarter) = self.quarters.get_mut(quarter) {
            quarter.merge(sums);
        }
        match self.by_region.get_mut(&key.region) {
            Some(region) => region.merge(sums),
            None => drop(self.by_region.insert(key.region.clone(), sums.clone())),
        }
    }

    /// The sums of each region that has any; the empty name is that of receipts whose region is unknown.
    pub const fn by_region(&self) -> &BTreeMap<String, Sums> {
        &self.by_region
    }

    /// The sums of each quarter of an hour, the oldest first.
    pub fn quarters(&self) -> &[Sums] {
        &self.quarters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(minute: i64, region: &str, requests: i64) -> (RowKey, Sums) {
        let key = RowKey {
            node_id: String::new(),
            minute,
            region: region.to_owned(),
            org_id: String::new(),
        };
        let sums = Sums {
            requests,
            ttft: [10, 20].into_iter().collect(),
            ..Sums::default()
        };
        (key, sums)
    }

    #[test]
    fn a_day_has_96_quarters_and_lacks_nothing_that_came_later() {
        let mut day = NetworkDay::until(30_000_007);
        let first = day.first_minute();
        assert_eq!(first, 30_000_000 - 95 * 15);
        for (key, sums) in [
            row(first - 15, "eu", 16),
            row(first, "eu", 1),
            row(first, "us", 2),
            row(first + 95 * 15, "eu", 4),
            row(first + 96 * 15, "eu", 8),
        ] {
            day.add(&key, &sums);
        }
        let of = |quarter: usize| day.quarters()[quarter].requests;
        assert_eq!((day.quarters().len(), of(0), of(1), of(95)), (96, 3, 0, 4));
        let regions = day.by_region().iter();
        let regions: Vec<(&str, i64)> = regions
            .map(|(region, sums)| (region.as_str(), sums.requests))
            .collect();
        assert_eq!(regions, [("eu", 13), ("us", 2)]);
        assert_eq!(day.by_region()["eu"].ttft.count(), 6);
    }
}
