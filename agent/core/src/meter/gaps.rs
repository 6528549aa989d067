//! The 95th percentile of the gaps between output chunks, in bounded memory.

/// Gaps kept at once.
const KEPT: usize = 4096;

/// Gaps of one answer. Exact up to [`KEPT`] gaps; past that every second, fourth, … gap is kept.
#[derive(Debug)]
pub(super) struct Gaps {
    kept_us: Vec<u32>,
    stride: u64,
    seen: u64,
}

impl Gaps {
    pub(super) const fn new() -> Self {
        Self {
            kept_us: Vec::new(),
            stride: 1,
            seen: 0,
        }
    }

    pub(super) fn add(&mut self, gap_us: u64) {
        if self.seen.is_multiple_of(self.stride) {
            if self.kept_us.len() == KEPT {
                let mut index = 0;
                self.kept_us.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.kept_us.push(u32::try_from(gap_us).unwrap_or(u32::MAX));
            }
        }
        self.seen += 1;
    }

    /// The nearest-rank 95th percentile, microseconds; `None` where there was no gap.
    pub(super) fn p95_us(mut self) -> Option<u64> {
        let rank = (self.kept_us.len() * 95).div_ceil(100).checked_sub(1)?;
        let (_, value, _) = self.kept_us.select_nth_unstable(rank);
        Some(u64::from(*value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p95(gaps: impl IntoIterator<Item = u64>) -> Option<u64> {
        let mut all = Gaps::new();
        gaps.into_iter().for_each(|gap| all.add(gap));
        all.p95_us()
    }

    #[test]
    fn it_is_the_nearest_rank() {
        assert_eq!(p95([]), None);
        assert_eq!(p95([7]), Some(7));
        assert_eq!(p95(1..=100), Some(95));
        assert_eq!(p95((1..=20).rev()), Some(19));
        assert_eq!(p95([u64::MAX]), Some(u64::from(u32::MAX)));
    }

    #[test]
    fn long_answers_keep_a_bounded_even_sample() {
        let mut all = Gaps::new();
        (0..1_000_000).for_each(|gap| all.add(gap));
        assert!(all.kept_us.len() <= KEPT);
        let p95 = all.p95_us().unwrap();
        assert!((940_000..=960_000).contains(&p95), "{p95}");
    }
}
