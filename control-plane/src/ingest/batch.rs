//! How many receipts share a transaction.
//!
//! Many, so that they share what each transaction takes, however many receipts it has: its commit, and the way of each
//! statement to the database and back. Few enough that a transaction is short, because what came during it waits for it,
//! however few its node sent. How long is short depends on disk and network: a transaction should work on receipts for as
//! long as it takes beside that, so that at least half of the time is work. What a receipt costs depends on what it is,
//! one that is stored already less than one that leaves a gap: the size follows the dear ones.

use super::PIECE;
use std::time::Duration;

const LEAST: usize = PIECE;
const MOST: usize = 1000;
/// Statements of most transactions, whatever they do: they wait for the database to answer this many times.
const STATEMENTS: f64 = 8.0;
/// How long a transaction should work, s, however fast the disk is.
const SHORTEST_S: f64 = 0.002;
/// However slow.
const LONGEST_S: f64 = 0.045;
/// What is left of an estimate after one more transaction.
const FADES: f64 = 7.0 / 8.0;
/// The same of what an answer takes, which changes seldom: transactions that wait for other writers, one after the other,
/// are no longer way to the database.
const ANSWER_FADES: f64 = 63.0 / 64.0;
/// How many times the estimate one transaction may be.
const DEARER_MAX: f64 = 4.0;
/// Smaller transactions say nothing of what a receipt costs: most of their time is that of any transaction.
const TELLING: usize = LEAST / 2;

/// What one transaction took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Took {
    /// Its begin: what each statement takes beside its work, and the wait for other writers.
    pub(super) answer: Duration,
    /// From its begin to its commit.
    pub(super) work: Duration,
    /// Its commit.
    pub(super) commit: Duration,
}

/// The size of the next batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BatchSize {
    /// What a receipt costs, s: that of the dearest transaction of late.
    receipt_s: f64,
    /// What a commit takes, s: the middle of late.
    commit_s: f64,
    /// What an answer of the database takes, s: the least of late, because others may be waited for in one.
    answer_s: f64,
}

impl Default for BatchSize {
    fn default() -> Self {
        Self {
            receipt_s: 60e-6,
            commit_s: 0.005,
            answer_s: 0.0001,
        }
    }
}

impl BatchSize {
    /// Receipts that do not wait for more.
    pub(super) fn receipts(self) -> usize {
        let beside_s = self.commit_s + self.answer_s * STATEMENTS;
        let aim_s = beside_s.clamp(SHORTEST_S, LONGEST_S);
        ((aim_s / self.receipt_s) as usize).clamp(LEAST, MOST)
    }

    /// A batch of so many receipts took this.
    pub(super) fn took(&mut self, receipts: usize, took: Took) {
        self.commit_s = self.commit_s * FADES + took.commit.as_secs_f64() * (1.0 - FADES);
        self.answer_s = took
            .answer
            .as_secs_f64()
            .min(self.answer_s / ANSWER_FADES)
            .max(1e-9);
        let work_s = took.work.as_secs_f64() - self.answer_s * STATEMENTS;
        if receipts >= TELLING && work_s > 0.0 {
            // One that was held up by something else says little.
            let each_s = (work_s / receipts as f64).min(self.receipt_s * DEARER_MAX);
            self.receipt_s = (self.receipt_s * FADES).max(each_s).max(1e-9);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The size after many full batches whose receipts cost so much each, µs, in turns, with such a commit and answer, ms.
    fn settled(each_us: &[u64], commit_ms: u64, answer_ms: u64) -> usize {
        let mut size = BatchSize::default();
        for each_us in each_us.iter().cycle().take(500) {
            let receipts = size.receipts();
            let receipts_us = Duration::from_micros(each_us * receipts as u64);
            let took = Took {
                answer: ms(answer_ms),
                work: ms(answer_ms) * STATEMENTS as u32 + receipts_us,
                commit: ms(commit_ms),
            };
            size.took(receipts, took);
        }
        size.receipts()
    }

    #[test]
    fn transactions_are_as_large_as_they_are_short() {
        assert_eq!(settled(&[1], 1, 0), MOST);
        assert_eq!(settled(&[10_000], 1, 0), LEAST);
        let fast_disk = settled(&[10], 1, 0);
        assert!((195..=205).contains(&fast_disk), "{fast_disk}");
        let slow_disk = settled(&[150], 25, 0);
        assert!((160..=170).contains(&slow_disk), "{slow_disk}");
    }

    #[test]
    fn a_database_that_is_far_away_is_asked_less_often() {
        let far = settled(&[40], 1, 1);
        assert!((220..=230).contains(&far), "{far}");
    }

    #[test]
    fn a_wait_for_another_writer_is_no_way_to_the_database() {
        let (mut size, before) = (BatchSize::default(), BatchSize::default());
        for _ in 0..64 {
            let took = Took {
                answer: ms(50),
                work: Duration::from_micros(6_000),
                commit: ms(5),
            };
            size.took(100, took);
        }
        let (size, before) = (size.receipts(), before.receipts());
        assert!((before..before * 2).contains(&size), "{before} -> {size}");
    }

    #[test]
    fn what_took_less_than_its_answers_says_nothing_of_what_a_receipt_costs() {
        let (mut size, before) = (BatchSize::default(), BatchSize::default());
        let took = Took {
            answer: ms(50),
            work: Duration::from_micros(10),
            commit: ms(5),
        };
        size.took(100, took);
        assert_eq!(size.receipt_s, before.receipt_s);
    }

    #[test]
    fn the_dear_ones_decide() {
        let mixed = settled(&[2, 2, 40], 5, 0);
        assert!((120..=170).contains(&mixed), "{mixed}");
    }

    #[test]
    fn a_small_batch_says_nothing_of_what_a_receipt_costs() {
        let (mut size, before) = (BatchSize::default(), BatchSize::default());
        let took = Took {
            work: ms(30),
            ..Took::default()
        };
        size.took(1, took);
        assert_eq!(size.receipt_s, before.receipt_s);
    }
}
