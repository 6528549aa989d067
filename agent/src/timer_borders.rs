//! Deadlines laid where the timer wheel wakes the process anyway.
//!
//! tokio keeps timers in levels of 64 slots, of 1, 64 and 4,096 ms (`tokio::runtime::time::wheel`). One that is further
//! away than a level reaches is moved down when its slot of the level above begins, and each move wakes the process. A
//! deadline on a border of 4,096 ms is moved never: an idle agent wakes once for all that is due then.

use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::Instant;

/// One slot of the third level.
pub(crate) const BORDER: Duration = Duration::from_millis(4096);

/// When the clock of the main thread's timers began.
static EPOCH: OnceLock<Instant> = OnceLock::new();

/// To be called right before the runtime is built whose timers are meant: deadlines are rounded up to its milliseconds,
/// so that an epoch a little too early is as good as the right one.
pub(crate) fn begin() {
    EPOCH.get_or_init(Instant::now);
}

/// The last border at or before `due`; `due` itself where that is over, or where nobody has called [`begin`].
pub(crate) fn at_or_before(due: Instant) -> Instant {
    let border = last(due);
    if border > Instant::now() { border } else { due }
}

/// The last border at or before an instant; the instant itself where nobody has called [`begin`].
pub(crate) fn last(at: Instant) -> Instant {
    EPOCH.get().map_or(at, |epoch| last_since(*epoch, at))
}

fn last_since(epoch: Instant, at: Instant) -> Instant {
    let borders = at.saturating_duration_since(epoch).as_millis() / BORDER.as_millis();
    epoch + BORDER * u32::try_from(borders).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_counted_from_the_epoch() {
        let epoch = Instant::now();
        for (ms, border_ms) in [
            (0, 0),
            (4095, 0),
            (4096, 4096),
            (10_000, 8192),
            (41_000, 40_960),
        ] {
            let border = last_since(epoch, epoch + Duration::from_millis(ms));
            assert_eq!(border - epoch, Duration::from_millis(border_ms), "{ms}");
        }
    }

    #[test]
    fn a_border_that_is_over_is_no_deadline() {
        begin();
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(at_or_before(soon) <= soon && at_or_before(soon) > soon - Duration::from_secs(1));
        let later = Instant::now() + Duration::from_secs(60);
        let border = at_or_before(later);
        assert!(border <= later && later - border < BORDER);
    }
}
