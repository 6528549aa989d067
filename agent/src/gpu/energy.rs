//! What a request cost in energy: the cards' own counters, read when requests begin and end.
//!
//! Between two readings the energy of all cards is shared equally by the requests that ran then, so that the sum
//! over the receipts is what the cards used while they worked, and no more. One thread reads; it sleeps while there
//! is nothing to read, and it alone is stuck where a driver hangs: a request then has no energy in its receipt. The
//! way to the first byte only puts a note into a queue; the end of an answer waits for a reading, but not long.

use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Notes that may wait for the thread; further requests go without.
const NOTES: usize = 1024;
/// How long the end of an answer waits for the reading.
const READ_WITHIN: Duration = Duration::from_millis(20);
/// How long cards without a counter, or with a driver that is too slow, are not asked again.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// Millijoules in a thousandth of a watt-hour.
const MJ_IN_MWH: f64 = 3600.0;

/// One card's energy counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EnergyReading {
    /// The card.
    pub index: u32,
    /// Energy that it has used since its driver was loaded, mJ.
    pub counter_mj: u64,
}

/// Measures requests. Cheap to clone.
#[derive(Clone)]
pub struct EnergyMeter(Arc<Shared>);

struct Shared {
    notes: SyncSender<Note>,
    next: AtomicU64,
    /// Somebody had the cards looked for.
    sought: AtomicBool,
    /// Cards that tell were found.
    found: AtomicBool,
    /// Until when nothing is asked, ms since `started`.
    quiet_until_ms: AtomicU64,
    started: Instant,
    within: Duration,
}

enum Note {
    Seek,
    Settle(oneshot::Sender<()>),
    Begun(u64),
    Ended(u64, oneshot::Sender<u64>),
    Gone(u64),
}

/// The measurement of one request; dropped, it is forgotten.
pub struct EnergyUse {
    meter: EnergyMeter,
    id: u64,
    over: bool,
}

impl std::fmt::Debug for EnergyMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnergyMeter")
    }
}

impl dgon_agent_dataplane::proxy::settings::EnergyMeter for EnergyMeter {
    fn begin(&self) -> Option<dgon_agent_dataplane::proxy::settings::EnergyUse> {
        let measured = Self::begin(self)?;
        Some(Box::pin(measured.end()))
    }
}

impl EnergyMeter {
    /// Measures by what `read` says; it runs on a thread of its own, not before the first request.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(read: impl FnMut() -> Vec<EnergyReading> + Send + 'static) -> io::Result<Self> {
        Self::with_patience(read, READ_WITHIN)
    }

    /// The same, with answers that wait as long as this for a reading at their end.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn with_patience(
        read: impl FnMut() -> Vec<EnergyReading> + Send + 'static,
        within: Duration,
    ) -> io::Result<Self> {
        let (notes, inbox) = sync_channel(NOTES);
        let shared = Arc::new(Shared {
            notes,
            next: AtomicU64::new(0),
            sought: AtomicBool::new(false),
            found: AtomicBool::new(false),
            within,
            quiet_until_ms: AtomicU64::new(0),
            started: Instant::now(),
        });
        let meter = Arc::downgrade(&shared);
        let tell = move |found: bool| {
            if let Some(shared) = meter.upgrade() {
                shared.learn(found);
            }
        };
        std::thread::Builder::new()
            .name("energy".to_owned())
            .spawn(move || keep_accounts(&inbox, read, tell))?;
        Ok(Self(shared))
    }

    /// Has the cards read once more, now, and waits for it, so that a reader that has been told to let go of them does.
    /// False where the driver does not answer within `limit`.
    pub async fn settle(&self, limit: Duration) -> bool {
        let (out, settled) = oneshot::channel();
        if self.0.notes.try_send(Note::Settle(out)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(limit, settled).await, Ok(Ok(())))
    }

    /// Begins to measure a request; `None` where the cards tell nothing, or nothing yet. Does not wait.
    pub fn begin(&self) -> Option<EnergyUse> {
        let shared = &self.0;
        if !shared.found.load(Ordering::Relaxed) {
            shared.seek();
            return None;
        }
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.notes.try_send(Note::Begun(id)).ok()?;
        Some(EnergyUse {
            meter: self.clone(),
            id,
            over: false,
        })
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Has the cards looked for, once in a while.
    fn seek(&self) {
        let is_quiet = self.now_ms() < self.quiet_until_ms.load(Ordering::Relaxed);
        if !is_quiet && !self.sought.swap(true, Ordering::Relaxed) {
            // A full queue is that of a driver that hangs.
            drop(self.notes.try_send(Note::Seek));
        }
    }

    /// Whether there are cards that tell, and in time.
    fn learn(&self, found: bool) {
        self.found.store(found, Ordering::Relaxed);
        if !found {
            self.be_quiet();
            self.sought.store(false, Ordering::Relaxed);
        }
    }

    fn be_quiet(&self) {
        let pause_ms = u64::try_from(ASK_AGAIN.as_millis()).unwrap_or(u64::MAX);
        let until = self.now_ms().saturating_add(pause_ms);
        self.quiet_until_ms.store(until, Ordering::Relaxed);
    }
}

impl EnergyUse {
    /// The request's share, thousandths of a watt-hour; `None` where the cards do not tell in time.
    pub async fn end(mut self) -> Option<u64> {
        self.over = true;
        let shared = &self.meter.0;
        let (out, share) = oneshot::channel();
        shared.notes.try_send(Note::Ended(self.id, out)).ok()?;
        match tokio::time::timeout(shared.within, share).await {
            Ok(share) => share.ok(),
            Err(_) => {
                // A driver this slow would hold up every answer.
                shared.learn(false);
                None
            }
        }
    }
}

impl Drop for EnergyUse {
    fn drop(&mut self) {
        if !self.over {
            // A full queue is that of a driver that hangs: nothing is measured any more.
            drop(self.meter.0.notes.try_send(Note::Gone(self.id)));
        }
    }
}

fn keep_accounts(
    inbox: &Receiver<Note>,
    mut read: impl FnMut() -> Vec<EnergyReading>,
    tell: impl Fn(bool),
) {
    let mut accounts = EnergyAccounts::default();
    while let Ok(first) = inbox.recv() {
        // One reading serves all who came meanwhile.
        let notes: Vec<Note> = std::iter::once(first)
            .chain(inbox.try_iter().take(NOTES))
            .collect();
        let readings = read();
        if readings.is_empty() || notes.iter().any(|note| matches!(note, Note::Seek)) {
            tell(!readings.is_empty());
        }
        accounts.advance(&readings);
        for note in notes {
            match note {
                Note::Seek => {}
                // Who waited too long is gone.
                Note::Settle(out) => drop(out.send(())),
                Note::Begun(id) => accounts.begin(id),
                Note::Gone(id) => drop(accounts.end(id)),
                Note::Ended(id, out) => {
                    if let Some(mwh) = accounts.end(id) {
                        // Who waited too long is gone.
                        let _ = out.send(mwh);
                    }
                }
            }
        }
    }
}

/// Who ran while energy was used.
#[derive(Debug, Default)]
struct EnergyAccounts {
    last: BTreeMap<u32, u64>,
    /// What one request that ran all the time would have got, mJ.
    share_mj: f64,
    /// The share at which each running request began; `None` where there was no reading then.
    running: HashMap<u64, Option<f64>>,
}

impl EnergyAccounts {
    /// Shares what was used since the last reading. A card that was not read before counts from now on.
    #[expect(
        clippy::cast_precision_loss,
        reason = "energies and numbers of requests are far below 2^52"
    )]
    fn advance(&mut self, readings: &[EnergyReading]) {
        let used_mj: u64 = readings
            .iter()
            .filter_map(|reading| {
                reading
                    .counter_mj
                    .checked_sub(*self.last.get(&reading.index)?)
            })
            .sum();
        if !self.running.is_empty() {
            self.share_mj += used_mj as f64 / self.running.len() as f64;
        }
        self.last = readings
            .iter()
            .map(|reading| (reading.index, reading.counter_mj))
            .collect();
        if readings.is_empty() {
            self.running.values_mut().for_each(|begun| *begun = None);
        }
    }

    fn begin(&mut self, id: u64) {
        let begun = (!self.last.is_empty()).then_some(self.share_mj);
        self.running.insert(id, begun);
    }

    /// The request's share, thousandths of a watt-hour, rounded.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share grows only, and no card uses 2^53 of them"
    )]
    fn end(&mut self, id: u64) -> Option<u64> {
        let begun = self.running.remove(&id)??;
        Some(((self.share_mj - begun) / MJ_IN_MWH).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(index: u32, watt_hours: f64) -> EnergyReading {
        EnergyReading {
            index,
            counter_mj: (watt_hours * 3.6e6) as u64,
        }
    }

    #[test]
    fn requests_share_what_was_used_while_they_ran() {
        let mut accounts = EnergyAccounts::default();
        accounts.advance(&[card(0, 10.0), card(1, 20.0)]);
        accounts.begin(1);
        // Alone for 2 Wh, then with another for 4 Wh on two cards.
        accounts.advance(&[card(0, 12.0), card(1, 20.0)]);
        accounts.begin(2);
        accounts.advance(&[card(0, 15.0), card(1, 21.0)]);
        assert_eq!(accounts.end(1), Some(4_000));
        accounts.advance(&[card(0, 16.0), card(1, 21.0)]);
        assert_eq!(accounts.end(2), Some(3_000));
        // Nobody pays for what was used while nobody ran.
        accounts.advance(&[card(0, 99.0), card(1, 21.0)]);
        accounts.begin(3);
        accounts.advance(&[card(0, 99.0), card(1, 21.0)]);
        assert_eq!(accounts.end(3), Some(0));
        assert_eq!(accounts.end(3), None);
    }

    #[test]
    fn a_card_that_comes_late_or_starts_anew_adds_nothing_wrong() {
        let mut accounts = EnergyAccounts::default();
        accounts.advance(&[card(0, 10.0)]);
        accounts.begin(1);
        accounts.advance(&[card(0, 11.0), card(1, 500.0)]);
        accounts.advance(&[card(0, 0.5), card(1, 501.0)]);
        assert_eq!(accounts.end(1), Some(2_000));
        // Cards that stopped telling leave the request without a number, not with a part of it.
        accounts.begin(2);
        accounts.advance(&[]);
        accounts.advance(&[card(0, 1.0)]);
        assert_eq!(accounts.end(2), None);
    }

    /// Long enough for a thread to get its turn on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn begun(meter: &EnergyMeter) -> EnergyUse {
        loop {
            if let Some(request) = meter.begin() {
                return request;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_machine_without_counters_is_asked_once() {
        let (asked, asks) = std::sync::mpsc::channel();
        let meter = EnergyMeter::start(move || {
            let _ = asked.send(());
            Vec::new()
        })
        .unwrap();
        assert!(meter.begin().is_none());
        asks.recv_timeout(PATIENCE).unwrap();
        assert!(meter.begin().is_none());
        drop(meter);
        // The thread has ended, and was asked nothing more.
        assert!(asks.recv_timeout(PATIENCE).is_err());
    }

    #[tokio::test]
    async fn a_driver_that_hangs_holds_up_one_answer_and_no_second() {
        let (go_on, gate) = std::sync::mpsc::channel::<()>();
        let meter = EnergyMeter::start(move || {
            let _ = gate.recv();
            vec![card(0, 1.0)]
        })
        .unwrap();
        assert!(meter.begin().is_none());
        go_on.send(()).unwrap();
        assert_eq!(begun(&meter).await.end().await, None);
        assert!(meter.begin().is_none());
    }

    #[tokio::test]
    async fn each_request_gets_its_share() {
        let mut watt_hours = 0.0;
        let read = move || {
            watt_hours += 1.0;
            vec![card(0, watt_hours)]
        };
        let meter = EnergyMeter::with_patience(read, PATIENCE).unwrap();
        let share = begun(&meter).await.end().await.unwrap();
        // Begin and end may have been noted in one reading or in two.
        assert!([0, 1_000].contains(&share), "{share}");
    }
}
