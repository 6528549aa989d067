//! Whether the agent deserves to be kept alive by its service manager.
//!
//! Each part that must not stand still gives a [`Promise`]: until when it will be heard of again. A part that waits
//! on purpose, such as a link in its back-off, promises for as long as it waits; a part with nothing to do promises
//! nothing and is never late. So an agent whose control plane is away is well, and one whose link is stuck is not.
//! Time is an argument, measured from the start of the program by a clock that never goes back.

use std::time::Duration;

/// What one part of the agent has said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Its name, for the log.
    pub part: &'static str,
    /// When it will have been heard of again; `None` where it waits for others and may do so for ever.
    pub due: Option<Duration>,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All parts keep their word: tell the service manager so.
    Feed,
    /// One does not: say nothing, so that the service manager ends this process and starts another.
    Withhold {
        /// The part that is most overdue.
        part: &'static str,
        /// By how much.
        late: Duration,
    },
}

/// Judges promises at regular looks.
#[derive(Debug, Clone)]
pub struct Watchdog {
    every: Duration,
    last_look: Duration,
}

impl Watchdog {
    /// A watchdog that will look every `every`, made at `now`.
    pub fn new(every: Duration, now: Duration) -> Self {
        Self {
            every,
            last_look: now,
        }
    }

    /// Looks at all promises.
    ///
    /// A look that itself comes late by a whole period means that the process or the machine was stopped for that
    /// time. Then no part could keep its word, and all have until the next look.
    pub fn look(&mut self, now: Duration, promises: &[Promise]) -> Verdict {
        let was_stopped = now.saturating_sub(self.last_look) >= self.every * 2;
        self.last_look = now;
        if was_stopped {
            return Verdict::Feed;
        }
        promises
            .iter()
            .filter_map(|promise| Some((promise.part, now.checked_sub(promise.due?)?)))
            .filter(|(_, late)| !late.is_zero())
            .max_by_key(|(_, late)| *late)
            .map_or(Verdict::Feed, |(part, late)| Verdict::Withhold {
                part,
                late,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn promise(part: &'static str, due_s: u64) -> Promise {
        Promise {
            part,
            due: Some(s(due_s)),
        }
    }

    #[test]
    fn parts_that_keep_their_word_are_fed_for() {
        let mut dog = Watchdog::new(EVERY, s(0));
        let parts = [promise("link", 10), promise("spool", 25)];
        assert_eq!(dog.look(s(10), &parts), Verdict::Feed);
    }

    #[test]
    fn the_part_that_is_most_overdue_is_named() {
        let mut dog = Watchdog::new(EVERY, s(90));
        let parts = [promise("spool", 95), promise("link", 60), promise("x", 200)];
        let late = s(40);
        let verdict = dog.look(s(100), &parts);
        assert_eq!(verdict, Verdict::Withhold { part: "link", late });
    }

    #[test]
    fn it_is_fed_again_once_the_part_is_heard_of() {
        let mut dog = Watchdog::new(EVERY, s(90));
        assert_ne!(dog.look(s(100), &[promise("link", 99)]), Verdict::Feed);
        assert_eq!(dog.look(s(110), &[promise("link", 140)]), Verdict::Feed);
    }

    #[test]
    fn a_part_without_anything_to_do_is_never_late() {
        let mut dog = Watchdog::new(EVERY, s(0));
        let idle = Promise {
            part: "spool",
            due: None,
        };
        for look in 1..1_000 {
            assert_eq!(dog.look(s(look * 10), &[idle]), Verdict::Feed);
        }
    }

    /// After a stop of the whole process nobody is late yet; who stays silent after it is.
    #[test]
    fn a_stopped_process_gets_one_look_of_grace() {
        let mut dog = Watchdog::new(EVERY, s(0));
        let silent = [promise("link", 15)];
        assert_eq!(dog.look(s(10), &silent), Verdict::Feed);
        assert_eq!(dog.look(s(500), &silent), Verdict::Feed);
        let late = s(495);
        let verdict = dog.look(s(510), &silent);
        assert_eq!(verdict, Verdict::Withhold { part: "link", late });
    }
}
