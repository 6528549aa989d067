//! Which steps there are, in which order, and which beside each other.
//!
//! Stages follow one another; the tracks of a stage run at the same time, the steps of a track in order. Tracks of one
//! stage use different folders of `target/`, so that none waits for another's lock, and what measures time or starts
//! whole networks has no compiler beside it.

use super::Step;
use super::steps as s;

/// Steps in order.
pub(super) type Track = &'static [&'static Step];
/// Tracks beside each other.
pub(super) type Stage = &'static [Track];

/// `make test`.
pub(super) const QUICK: &[Stage] = &[
    &[&[&s::WEB_BUILD], &[&s::FORMAT, &s::DEPENDENCY_RULES]],
    &[
        &[&s::CLIPPY, &s::DOCUMENTATION, &s::PROGRAMS, &s::GENERATED],
        &[&s::WEB_CHECKS, &s::OTHER_SYSTEMS],
    ],
    &[&[&s::RUST_TESTS]],
    &[
        &[&s::BROWSER_TESTS, &s::REAL_CLIENTS],
        &[&s::API_CONFORMANCE, &s::CLEAN_MACHINES],
    ],
    &[&[&s::FUZZING]],
];

/// What `make test-all` runs after it: slow, and seldom broken. A new slow step is added here and in `steps.rs`.
pub(super) const SLOW: &[Stage] = &[
    &[&[&s::ALL_SYSTEMS]],
    &[&[&s::LONG_API_CONFORMANCE]],
    &[&[&s::SYSTEMS]],
    &[&[&s::LONG_FUZZING]],
    &[&[&s::REAL_RUNTIME]],
];

/// Every step.
pub(crate) fn all() -> impl Iterator<Item = &'static Step> {
    let stages = QUICK.iter().chain(SLOW);
    stages.flat_map(|stage| stage.iter().flat_map(|track| track.iter().copied()))
}

/// The slow ones.
pub(super) fn slow() -> impl Iterator<Item = &'static Step> {
    SLOW.iter()
        .flat_map(|stage| stage.iter().flat_map(|track| track.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_steps_have_one_name() {
        let names: BTreeSet<&str> = all().map(|step| step.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
