//! Runs all examinations at once and keeps what is known so far.

use super::checks::EXAMINATIONS;
use super::fix::System;
use super::{Check, CheckId, Report, Subject};
use crate::own_command::own_command;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// How long one examination may take; its steps have shorter limits of their own.
const EXAMINATION: Duration = Duration::from_millis(4_600);

/// One examination: the checks that it makes, and how.
pub(super) struct Examination {
    /// Every one of these is told, by the examination or, where it could not, for it.
    pub(super) makes: &'static [CheckId],
    pub(super) run: fn(Arc<Subject>, Reporter) -> BoxFuture<'static, ()>,
}

/// Where an examination tells what it finds, as soon as it finds it.
#[derive(Clone)]
pub(super) struct Reporter {
    number: usize,
    out: UnboundedSender<Event>,
}

enum Event {
    Check(usize, Check),
    /// Why the rest of an examination is not made.
    Rest(usize, String),
    Ended(usize, Ending),
}

enum Ending {
    Done,
    Hung,
    Broken(String),
}

impl Reporter {
    /// Tells one check.
    pub(super) fn tell(&self, check: Check) {
        self.send(Event::Check(self.number, check));
    }

    /// Says why the checks that are not told are not made.
    pub(super) fn rest(&self, why: impl Into<String>) {
        self.send(Event::Rest(self.number, why.into()));
    }

    fn send(&self, event: Event) {
        // Nobody listens once the time is over; what is found then comes too late.
        drop(self.out.send(event));
    }
}

/// One group of the snapshot.
#[derive(Debug, Clone)]
pub struct GroupSnapshot {
    /// Its name.
    pub name: &'static str,
    /// What was told so far, in order.
    pub checks: Vec<Check>,
    /// Whether nothing more comes.
    pub is_done: bool,
}

/// What is known so far.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The groups, in order.
    pub groups: Vec<GroupSnapshot>,
}

/// What one examination has told.
#[derive(Default)]
struct Progress {
    told: Vec<CheckId>,
    why_no_more: Option<String>,
    has_ended: bool,
}

struct Collected {
    snapshot: Snapshot,
    progress: Vec<Progress>,
}

impl Collected {
    fn new() -> Self {
        let mut names: Vec<&'static str> = CheckId::ALL.iter().map(|id| id.group()).collect();
        names.dedup();
        let empty = |name| GroupSnapshot {
            name,
            checks: Vec::new(),
            is_done: false,
        };
        Self {
            snapshot: Snapshot {
                groups: names.into_iter().map(empty).collect(),
            },
            progress: EXAMINATIONS.iter().map(|_| Progress::default()).collect(),
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Check(number, check) => {
                self.progress[number].told.push(check.id);
                self.put(check);
            }
            Event::Rest(number, why) => self.progress[number].why_no_more = Some(why),
            Event::Ended(number, ending) => self.end(number, &ending),
        }
    }

    fn put(&mut self, check: Check) {
        let group = |group: &&mut GroupSnapshot| group.name == check.group;
        if let Some(group) = self.snapshot.groups.iter_mut().find(group) {
            group.checks.push(check);
            group.checks.sort_by_key(|check| check.id);
        }
    }

    /// Fills in what the examination did not tell, and closes the groups that nobody adds to any more.
    fn end(&mut self, number: usize, ending: &Ending) {
        let progress = &mut self.progress[number];
        progress.has_ended = true;
        let missing: Vec<CheckId> = EXAMINATIONS[number]
            .makes
            .iter()
            .filter(|id| !progress.told.contains(id))
            .copied()
            .collect();
        let why = progress.why_no_more.take();
        for (index, id) in missing.into_iter().enumerate() {
            let check = Check::new(id, id.question());
            let check = match (ending, index) {
                (Ending::Done, _) => {
                    check.skip(why.as_deref().unwrap_or("a check before it did not pass"))
                }
                (Ending::Hung, 0) => check.fail(
                    "the system did not answer within 4.6 s; a driver, a disk or the network hangs",
                    System::here().kernel_log(),
                ),
                (Ending::Broken(error), 0) => check.fail(
                    format!("the check itself failed, which is a fault of this program: {error}"),
                    own_command("doctor --bundle"),
                ),
                (Ending::Hung | Ending::Broken(_), _) => {
                    check.skip("the check before it did not end")
                }
            };
            self.put(check);
        }
        let is_over = |group: &str| {
            EXAMINATIONS
                .iter()
                .zip(&self.progress)
                .all(|(one, progress)| {
                    progress.has_ended || one.makes.iter().all(|id| id.group() != group)
                })
        };
        for group in &mut self.snapshot.groups {
            group.is_done = is_over(group.name);
        }
    }
}

/// Runs every check and shows the snapshot at its beginning and whenever something is added to it.
pub async fn examine(subject: Arc<Subject>, mut show: impl FnMut(&Snapshot)) -> Report {
    let began = Instant::now();
    let (out, mut events) = unbounded_channel();
    for (number, examination) in EXAMINATIONS.iter().enumerate() {
        let reporter = Reporter {
            number,
            out: out.clone(),
        };
        let work = (examination.run)(Arc::clone(&subject), reporter.clone());
        tokio::spawn(async move {
            let ending = match tokio::spawn(timeout(EXAMINATION, work)).await {
                Ok(Ok(())) => Ending::Done,
                Ok(Err(_)) => Ending::Hung,
                Err(error) => Ending::Broken(error.to_string()),
            };
            reporter.send(Event::Ended(number, ending));
        });
    }
    drop(out);
    let mut collected = Collected::new();
    show(&collected.snapshot);
    let mut running = EXAMINATIONS.len();
    while running > 0 {
        let Some(event) = events.recv().await else {
            break;
        };
        running -= usize::from(matches!(event, Event::Ended(..)));
        collected.take(event);
        show(&collected.snapshot);
    }
    let checks = collected
        .snapshot
        .groups
        .into_iter()
        .flat_map(|group| group.checks);
    Report::new(checks.collect(), began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_made_by_exactly_one_examination() {
        let mut made: Vec<CheckId> = EXAMINATIONS
            .iter()
            .flat_map(|one| one.makes.iter().copied())
            .collect();
        made.sort_unstable();
        assert_eq!(made, CheckId::ALL);
    }

    #[test]
    fn what_hangs_or_breaks_is_told_once_and_the_rest_is_skipped() {
        let number = EXAMINATIONS
            .iter()
            .position(|one| one.makes.len() > 2)
            .unwrap();
        let makes = EXAMINATIONS[number].makes;
        let mut collected = Collected::new();
        collected.take(Event::Check(number, Check::new(makes[0], "x").ok("well")));
        collected.take(Event::Ended(
            number,
            Ending::Broken("it panicked".to_owned()),
        ));
        let all: Vec<&Check> = collected
            .snapshot
            .groups
            .iter()
            .flat_map(|g| &g.checks)
            .collect();
        assert_eq!(all.len(), makes.len());
        let of = |id| all.iter().find(|check| check.id == id).unwrap();
        assert!(of(makes[1]).finding.contains("it panicked"));
        assert_eq!(of(makes[2]).outcome, crate::doctor::Outcome::Skip);
    }
}
