//! One task that turns bus events into batches for all sessions of this process.

use super::batch::{Batch, Topic};
use super::pending::{Due, Pending};
use crate::app::App;
use crate::app::queries::QueryError;
use crate::app::views::{HeartbeatEvent, ReceiptRow, Summary};
use crate::bus::{Event, RecvError};
use dgon_control_plane_store::{Scope, System};
use dgon_protocol::id::NodeId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

/// Batches that wait for one session.
pub const BATCHES_QUEUED: usize = 64;
/// Sessions of one process.
pub const SESSIONS_MAX: usize = 5_000;
/// Of strangers: there may be as many as they like, and the others need a place.
const STRANGERS_MAX: usize = SESSIONS_MAX / 2;

/// The summary moves with time too: nodes fall silent, hours pass.
const QUIET: Duration = Duration::from_secs(5);
/// Orgs remembered before all are forgotten and asked again.
const ORGS_KEPT: usize = 50_000;

/// Where sessions get their batches from.
#[derive(Debug)]
pub struct Hub {
    batches: broadcast::Sender<Arc<Batch>>,
    is_running: Mutex<bool>,
    /// Whether some session has no summary yet, because none could be made when it came.
    is_summary_owed: AtomicBool,
    places: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// A place of a session; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    _all: OwnedSemaphorePermit,
    _strangers: Option<OwnedSemaphorePermit>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            batches: broadcast::channel(BATCHES_QUEUED).0,
            is_running: Mutex::new(false),
            is_summary_owed: AtomicBool::new(false),
            places: Arc::new(Semaphore::new(SESSIONS_MAX)),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        }
    }
}

impl Hub {
    /// A place for one more session, held from before its upgrade to its end; `None` where there is none.
    pub fn place(&self, is_stranger: bool) -> Option<Place> {
        let take = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let _strangers = match is_stranger {
            true => Some(take(&self.strangers)?),
            false => None,
        };
        let _all = take(&self.places)?;
        Some(Place { _all, _strangers })
    }

    /// The next summary is told also where it is that of before.
    pub(super) fn owe_summary(&self) {
        self.is_summary_owed.store(true, Ordering::Relaxed);
    }

    /// Joins; the first one starts the task.
    pub(super) fn join(app: &Arc<App>) -> broadcast::Receiver<Arc<Batch>> {
        let hub = &app.live;
        let mut is_running = hub
            .is_running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let batches = hub.batches.subscribe();
        if !*is_running {
            *is_running = true;
            let (task, done) = (Task::new(Arc::clone(app)), CancellationToken::new());
            // Now and not in the task: what is committed before the task first runs is told, too.
            let events = app.bus.subscribe();
            let app = Arc::clone(app);
            let runtime = app.runtime.clone();
            runtime.spawn(async move {
                let run = task.run(events, &done);
                app.supervisor.watch("live", &done, run).await;
            });
        }
        batches
    }

    /// Whether the last one has left; then the task must end.
    fn is_deserted(&self) -> bool {
        let mut is_running = self
            .is_running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_deserted = self.batches.receiver_count() == 0;
        if is_deserted {
            *is_running = false;
        }
        is_deserted
    }
}

struct Task {
    app: Arc<App>,
    pending: Pending,
    orgs: HashMap<NodeId, Option<String>>,
    told: Option<Arc<Summary>>,
}

impl Task {
    fn new(app: Arc<App>) -> Self {
        Self {
            app,
            pending: Pending::default(),
            orgs: HashMap::new(),
            told: None,
        }
    }

    /// Runs until nobody looks, and cancels `done` then.
    async fn run(mut self, mut events: broadcast::Receiver<Event>, done: &CancellationToken) {
        let mut quiet = tokio::time::interval(QUIET);
        quiet.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let deadline = self.pending.deadline(Instant::now());
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => self.pending.hear(event),
                    Err(RecvError::Lagged(_)) => self.pending.lost(),
                    Err(RecvError::Closed) => return,
                },
                () = sleep_until(deadline) => {
                    let due = self.pending.take(Instant::now());
                    self.tell(due).await;
                }
                _ = quiet.tick() => {
                    if self.app.live.is_deserted() {
                        return done.cancel();
                    }
                    self.pending.time_passed();
                }
            }
        }
    }

    async fn tell(&mut self, due: Due) {
        match self.batch(due).await {
            Ok(batch) if batch.is_empty() && !batch.is_gap => {}
            // Without sessions nobody is told; the next quiet tick ends the task.
            Ok(batch) => drop(self.app.live.batches.send(Arc::new(batch))),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "live events lost");
                self.pending.lost();
            }
        }
    }

    async fn batch(&mut self, due: Due) -> Result<Batch, QueryError> {
        let now_ms = self.app.clock.now_ms();
        let mut batch = Batch::new(now_ms, due.is_gap, due.receipts_left_out);
        for receipt in &due.receipts {
            let row = ReceiptRow::of_committed(receipt);
            batch.push((Topic::Receipts, "receipt"), receipt.org_id.clone(), &row);
        }
        for node_id in &due.nodes {
            if let Some((row, org_id)) = self.app.node_row_with_org(&everybodys(), node_id).await? {
                self.orgs.insert(node_id.clone(), org_id.clone());
                batch.push((Topic::Nodes, "node"), org_id, &row);
            }
        }
        for node_id in &due.heartbeats {
            let presence = self.app.presence.get(node_id);
            if let Some((at_ms, beat)) = presence.and_then(|presence| presence.heartbeat) {
                let org_id = self.org_of(node_id).await?;
                let event = HeartbeatEvent::of(node_id.as_str(), at_ms, &beat);
                batch.push((Topic::Nodes, "heartbeat"), org_id, &event);
            }
        }
        // One that cannot be made now takes nothing else with it: the next one tells more.
        if due.summary
            && let Some(summary) = self.summary().await
        {
            batch.push((Topic::Summary, "summary"), None, &*summary);
        }
        Ok(batch)
    }

    /// The summary, if more than its time changed, or if somebody has none.
    async fn summary(&mut self) -> Option<Arc<Summary>> {
        let summary = self.app.summary_soon().await?;
        let is_owed = self.app.live.is_summary_owed.swap(false, Ordering::Relaxed);
        let is_told = self.told.as_ref().is_some_and(|told| {
            let aged = Summary {
                as_of: summary.as_of.clone(),
                ..Summary::clone(told)
            };
            aged == *summary
        });
        if is_told && !is_owed {
            return None;
        }
        self.told = Some(Arc::clone(&summary));
        Some(summary)
    }

    async fn org_of(&mut self, node_id: &NodeId) -> Result<Option<String>, QueryError> {
        if let Some(org_id) = self.orgs.get(node_id) {
            return Ok(org_id.clone());
        }
        let row = self.app.node_row_with_org(&everybodys(), node_id).await?;
        let org_id = row.and_then(|(_, org_id)| org_id);
        if self.orgs.len() >= ORGS_KEPT {
            self.orgs.clear();
        }
        self.orgs.insert(node_id.clone(), org_id.clone());
        Ok(org_id)
    }
}

/// What the hub reads it reads once for all sessions; each is told what is in its own sight ([`Batch::seen`]).
pub(super) fn everybodys() -> Scope {
    Scope::from(System::of_the_server())
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_leave_places_to_those_who_signed_in() {
        let hub = Hub::default();
        let take = |is_stranger, most| -> Vec<Place> {
            (0..most).map_while(|_| hub.place(is_stranger)).collect()
        };
        let mut strangers = take(true, SESSIONS_MAX);
        assert_eq!(strangers.len(), STRANGERS_MAX);
        let signed_in = take(false, SESSIONS_MAX);
        assert_eq!(signed_in.len(), SESSIONS_MAX - STRANGERS_MAX);
        strangers.pop();
        assert!(hub.place(true).is_some());
        assert!(hub.place(false).is_some());
    }
}
