//! How long until the next look at an endpoint.

use std::time::Duration;

/// The longest pause between two looks at something that is no runtime.
const LONGEST: Duration = Duration::from_secs(60);

/// What the last looks saw of an unrelated program: one that answers and is no runtime.
#[derive(Debug, Default)]
pub(super) struct PollBackoff {
    /// What it looks like, and how often it was seen so in a row.
    unrelated: Option<(u64, u32)>,
}

impl PollBackoff {
    /// An unrelated program answers, with this fingerprint. Another fingerprint is another program, and may become a runtime.
    pub(super) fn saw_unrelated(&mut self, fingerprint: u64) {
        let times = match self.unrelated {
            Some((known, times)) if known == fingerprint => times.saturating_add(1),
            Some(_) | None => 0,
        };
        self.unrelated = Some((fingerprint, times));
    }

    /// Anything else: nobody, a runtime, or no answer in time.
    pub(super) fn saw_other(&mut self) {
        self.unrelated = None;
    }

    /// The pause before the next look, where it is `every` otherwise.
    pub(super) fn pause(&self, every: Duration) -> Duration {
        let times = self.unrelated.map_or(0, |(_, times)| times.min(31));
        every.saturating_mul(1 << times).min(LONGEST.max(every))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unrelated_program_is_asked_less_and_less_until_it_changes() {
        let every = Duration::from_secs(4);
        let mut backoff = PollBackoff::default();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            backoff.saw_unrelated(1);
            pauses.push(backoff.pause(every).as_secs());
        }
        assert_eq!(pauses, [4, 8, 16, 32, 60, 60, 60]);
        backoff.saw_unrelated(2);
        assert_eq!(backoff.pause(every), every, "another program");
        backoff.saw_unrelated(2);
        backoff.saw_other();
        assert_eq!(backoff.pause(every), every, "nobody listens any more");
        for _ in 0..100 {
            backoff.saw_unrelated(2);
        }
        assert_eq!(backoff.pause(every), LONGEST);
        let rarely = Duration::from_secs(3600);
        assert_eq!(
            backoff.pause(rarely),
            rarely,
            "never more often than others"
        );
    }
}
