//! What the node tells of itself: the inventory, kept fresh, and heartbeats, taken when they are due.
//!
//! GPU drivers can block for seconds, so they are asked on a blocking thread and given up after a while: a
//! heartbeat without GPU load is worth more than none. What is not known is absent, never 0.

use crate::gpu::{Detector, FindingKind, GpuAccess, Severity, Survey};
use crate::host::{self, CpuSampler};
use crate::mode::{Mode, ModeSwitch};
use crate::proxy::Proxy;
use crate::receipts::Receipts;
use crate::runtime::{FIRST_LOOK, FoundRuntime, Registry};
use dgon_protocol::frame::{Gpu, GpuLoad, GpusNotRead, Heartbeat, Host, Inventory};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

/// How long drivers may take for a heartbeat.
const SAMPLE_WITHIN: Duration = Duration::from_secs(3);
/// How often the hardware is looked at again: a card can fall off the bus.
const SURVEY_EVERY: Duration = Duration::from_secs(300);
/// How soon it is looked at again where drivers took too long: they may only have been starting their cards.
const SURVEY_AGAIN: Duration = Duration::from_secs(15);

/// Takes heartbeats. Cheap to clone.
#[derive(Clone)]
pub struct HeartbeatSource {
    started: Instant,
    hardware: Arc<Mutex<Hardware>>,
    registry: Registry,
    proxy: Arc<Proxy>,
    receipts: Receipts,
    mode: ModeSwitch,
    latest: Arc<Mutex<Option<Readings>>>,
    gpus: GpuAccess,
    /// Cards came or went, or may be read again or no longer.
    survey_soon: Arc<Notify>,
}

/// What drivers and system said, and when.
#[derive(Debug, Clone)]
pub struct Readings {
    /// When they were asked.
    pub at: Instant,
    /// Load of each GPU.
    pub gpus: Vec<GpuLoad>,
    /// CPU use of the machine, percent of all cores.
    pub cpu_pct: Option<f32>,
}

struct Hardware {
    detector: Detector,
    cpu: CpuSampler,
    /// What was told in the log of what is wrong with cards.
    told: Vec<(FindingKind, Option<u32>)>,
}

impl Hardware {
    /// Logs what is newly wrong with cards, once.
    fn tell(&mut self, survey: &Survey) {
        let wrong: Vec<_> = survey
            .all_findings()
            .into_iter()
            .filter(|finding| finding.severity != Severity::Info)
            .collect();
        for finding in &wrong {
            if !self.told.contains(&(finding.kind, finding.gpu)) {
                tracing::warn!(gpu = finding.gpu, "{}", finding.message);
            }
        }
        self.told = wrong
            .iter()
            .map(|finding| (finding.kind, finding.gpu))
            .collect();
    }
}

impl HeartbeatSource {
    /// Starts to measure.
    pub fn new(
        registry: Registry,
        proxy: Arc<Proxy>,
        receipts: Receipts,
        mode: ModeSwitch,
        gpus: GpuAccess,
    ) -> Self {
        Self {
            started: Instant::now(),
            hardware: Arc::new(Mutex::new(Hardware {
                detector: Detector::with_access(gpus.clone()),
                cpu: CpuSampler::new(),
                told: Vec::new(),
            })),
            registry,
            proxy,
            receipts,
            mode,
            latest: Arc::default(),
            gpus,
            survey_soon: Arc::default(),
        }
    }

    /// Why the GPUs are not read now.
    pub fn gpus_not_read(&self) -> Option<GpusNotRead> {
        self.gpus.refused()
    }

    /// Closes what the detector has open, after [`GpuAccess::release`]. False where a driver hangs and holds it.
    pub async fn let_gpus_go(&self) -> bool {
        let closed = self
            .ask_hardware(|hardware| hardware.detector.close())
            .await;
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.survey_soon.notify_one();
        closed.is_some()
    }

    /// Has the cards looked at now, after [`GpuAccess::resume`].
    pub fn survey_soon(&self) {
        self.survey_soon.notify_one();
    }

    /// Takes a heartbeat now.
    pub async fn take(&self) -> Heartbeat {
        let readings = self.read(true).await;
        let gpus_not_read = not_read(self.gpus_not_read(), &readings);
        let (gpus, cpu_pct) = readings.map_or_else(Default::default, |now| (now.gpus, now.cpu_pct));
        Heartbeat {
            uptime_s: self.uptime_s(),
            gpus,
            gpus_not_read,
            cpu_pct,
            in_flight: self.proxy.in_flight(),
            queue: queue(&self.registry.current()),
            spool_depth: self.receipts.status().depth(),
            paused: self.mode.get() != Mode::Serving,
            paused_reason: self.mode.reason(),
        }
    }

    /// Load of the GPUs alone.
    pub async fn gpu_loads(&self) -> Vec<GpuLoad> {
        self.read(false).await.map_or_else(Vec::new, |now| now.gpus)
    }

    /// Load of the GPUs as it was at most `age` ago, so that several who ask wake the drivers once.
    pub async fn gpu_loads_within(&self, age: Duration) -> Vec<GpuLoad> {
        match self.latest() {
            Some(latest) if latest.at.elapsed() <= age => latest.gpus,
            _ => self.gpu_loads().await,
        }
    }

    /// The last readings, however old; asks nobody.
    pub fn latest(&self) -> Option<Readings> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks drivers and system; `None` where they take too long. The CPU's use is that since it was last asked, so
    /// that only the heartbeat asks for it.
    async fn read(&self, with_cpu: bool) -> Option<Readings> {
        let readings = self
            .ask_hardware(move |hardware| {
                let readings = Readings {
                    at: Instant::now(),
                    gpus: hardware.detector.loads(),
                    cpu_pct: with_cpu.then(|| hardware.cpu.sample()).flatten(),
                };
                (readings, hardware.detector.take_news())
            })
            .await?;
        let (mut readings, has_news) = readings;
        if has_news {
            self.survey_soon.notify_one();
        }
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if !with_cpu {
            readings.cpu_pct = latest.as_ref().and_then(|latest| latest.cpu_pct);
        }
        *latest = Some(readings.clone());
        Some(readings)
    }

    /// Since this was made, s.
    pub fn uptime_s(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Keeps `inventory` as the machine is, until nobody reads it any more. The first look is at once, and told when
    /// runtimes were looked at as well, or have had their time.
    pub async fn keep_inventory(
        self,
        inventory: watch::Sender<Arc<Inventory>>,
        refresh: Arc<Notify>,
    ) {
        let mut runtimes = self.registry.subscribe();
        let looks = timeout(FIRST_LOOK, self.registry.looked_once());
        let (mut machine, _) = tokio::join!(self.survey(None), looks);
        let mut refused = self.gpus_not_read();
        // Told in any case, what had no answer as such: the link waits for it.
        let found = runtimes.borrow_and_update().clone();
        inventory.send_replace(Arc::new(describe(&machine, refused, &found)));
        let next = |looked: bool| {
            let after = if looked { SURVEY_EVERY } else { SURVEY_AGAIN };
            crate::timer_borders::at_or_before(Instant::now() + after)
        };
        let mut survey_at = next(machine.is_some());
        loop {
            let found = runtimes.borrow_and_update().clone();
            publish(&inventory, describe(&machine, refused, &found));
            tokio::select! {
                changed = runtimes.changed() => if changed.is_err() {
                    // The list will not change any more; the hardware still can.
                    tokio::time::sleep_until(survey_at).await;
                },
                () = refresh.notified() => {
                    self.registry.look_now();
                    machine = self.survey(machine.as_ref()).await.or(machine);
                }
                () = self.survey_soon.notified() => {
                    machine = self.survey(machine.as_ref()).await.or(machine);
                }
                () = tokio::time::sleep_until(survey_at) => {
                    let looked = self.survey(machine.as_ref()).await;
                    survey_at = next(looked.is_some());
                    machine = looked.or(machine);
                }
                () = inventory.closed() => return,
            }
            refused = self.gpus_not_read();
        }
    }

    /// Looks at the machine. Where the GPUs are let go for a while, they stay as they were `before`: the machine has
    /// not become another.
    async fn survey(&self, before: Option<&Machine>) -> Option<Machine> {
        let released = self.gpus_not_read() == Some(GpusNotRead::Released);
        let kept = before.filter(|_| released).map(|(_, gpus)| gpus.clone());
        self.ask_hardware(|hardware| {
            let survey = hardware.detector.survey();
            hardware.tell(&survey);
            (host::survey(), kept.unwrap_or_else(|| survey.gpus()))
        })
        .await
    }

    /// Runs `ask` on a blocking thread; `None` where drivers take too long.
    async fn ask_hardware<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Hardware) -> T + Send + 'static,
    ) -> Option<T> {
        let hardware = Arc::clone(&self.hardware);
        let asking = tokio::task::spawn_blocking(move || {
            // A driver that hangs holds the lock; waiting for it would hang the next thread as well.
            match hardware.try_lock() {
                Ok(mut hardware) => Some(ask(&mut hardware)),
                Err(std::sync::TryLockError::Poisoned(poisoned)) => {
                    Some(ask(&mut poisoned.into_inner()))
                }
                Err(std::sync::TryLockError::WouldBlock) => None,
            }
        });
        timeout(SAMPLE_WITHIN, asking).await.ok()?.ok()?
    }
}

/// Why there is nothing to say of the GPUs: nobody may ask for it, or there was no answer.
fn not_read<T>(refused: Option<GpusNotRead>, answer: &Option<T>) -> Option<GpusNotRead> {
    refused.or(answer.is_none().then_some(GpusNotRead::NoAnswer))
}

/// The machine without what it runs.
type Machine = (Host, Vec<Gpu>);

fn describe(
    machine: &Option<Machine>,
    refused: Option<GpusNotRead>,
    found: &[FoundRuntime],
) -> Inventory {
    // Before the first look nothing is known, and the hash of nothing is that of another machine. So is the hash of
    // a machine whose GPUs are not known because nobody may read them.
    let hardware_hash = machine
        .as_ref()
        .filter(|(_, gpus)| refused.is_none() || !gpus.is_empty())
        .and_then(|(_, gpus)| host::hardware_hash(gpus));
    let (host, gpus) = machine.clone().unwrap_or_default();
    Inventory {
        hardware_hash,
        host,
        gpus,
        runtimes: found.iter().map(FoundRuntime::to_wire).collect(),
        gpus_not_read: not_read(refused, machine),
    }
}

fn publish(inventory: &watch::Sender<Arc<Inventory>>, now: Inventory) {
    inventory.send_if_modified(|current| {
        let is_new = **current != now;
        if is_new {
            *current = Arc::new(now);
        }
        is_new
    });
}

/// Requests that wait in the runtimes; unknown where none of them tells.
fn queue(found: &[FoundRuntime]) -> Option<u32> {
    found
        .iter()
        .filter_map(|runtime| runtime.queue)
        .reduce(u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_that_do_not_answer_are_no_machine_without_gpus() {
        let told = |machine: Option<Machine>, refused| {
            let inventory = describe(&machine, refused, &[]);
            (inventory.gpus.len(), inventory.gpus_not_read)
        };
        assert_eq!(told(None, None), (0, Some(GpusNotRead::NoAnswer)));
        assert_eq!(told(Some(Machine::default()), None), (0, None));
        let off = Some(GpusNotRead::Off);
        assert_eq!(told(None, off), (0, off));
    }
}
