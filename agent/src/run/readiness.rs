//! Tells the service manager how the agent is: ready, well, stopping.
//!
//! Ready means that the proxy listens and that every runtime was looked for once: a client that comes right after the
//! start finds those that run. What takes longer than [`FIRST_LOOK`] to answer holds the start up no further.
//!
//! The watchdog is fed by a task of the main thread, and only while link, spool and the proxy's event loops keep their
//! promises: a frozen process, a thread that is blocked, or a stuck link goes unfed and is started anew. A control plane
//! that is away changes nothing here.

use crate::link::{LinkStatus, Phase};
use crate::liveness::{self, LivenessSignal};
use crate::runtime::{FIRST_LOOK, Registry};
use crate::service::notify::{self, Notifier};
use dgon_agent_core::watchdog::{Verdict, Watchdog};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

const STOPPING_TEXT: &str = "stopping: running answers may end";

/// What is looked at to tell how the agent is.
pub(super) struct Readiness {
    pub(super) notifier: Notifier,
    /// How often the watchdog wants to be fed; `None` where there is none.
    pub(super) every: Option<Duration>,
    pub(super) signs: Vec<LivenessSignal>,
    pub(super) link: watch::Receiver<LinkStatus>,
    /// How many receipts wait, or why no request is served.
    pub(super) spool: Arc<dyn Fn() -> Result<u64, String> + Send + Sync>,
    /// How long a stop may take.
    pub(super) stop_within: Duration,
    /// Event loops on threads of their own, which must move, too.
    pub(super) loops: Loops,
    pub(super) registry: Registry,
}

/// How long an event loop may take until it runs what it is given.
const LOOP_WITHIN: Duration = Duration::from_secs(60);

/// Event loops, each asked for a sign of life whenever the watchdog is fed.
pub(super) struct Loops {
    list: Box<dyn Fn() -> Vec<Handle> + Send + Sync>,
    signs: Vec<LivenessSignal>,
}

impl Loops {
    /// Those that `list` names at each look.
    pub(super) fn new(list: impl Fn() -> Vec<Handle> + Send + Sync + 'static) -> Self {
        Self {
            list: Box::new(list),
            signs: Vec::new(),
        }
    }

    /// Asks each that owes no answer for one.
    fn ask(&mut self) {
        for (index, handle) in (self.list)().into_iter().enumerate() {
            if index == self.signs.len() {
                self.signs.push(LivenessSignal::new("proxy"));
            }
            let Some(sign) = self.signs.get(index) else {
                continue;
            };
            if sign.promise().due.is_none() {
                sign.within(LOOP_WITHIN);
                let answer = Answer(sign.clone());
                handle.spawn(async move { drop(answer) });
            }
        }
    }
}

/// Given by running, and by being thrown away with a loop that has ended.
struct Answer(LivenessSignal);

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.rest();
    }
}

impl Readiness {
    /// Runs from the moment the agent serves until `done`; `stop` is the request to end.
    pub(super) async fn run(mut self, stop: CancellationToken, done: CancellationToken) {
        if !self.notifier.is_heard() {
            return;
        }
        self.runtimes_looked_for(&stop).await;
        let mut told = self.session();
        self.notifier
            .tell(&[notify::READY, &notify::status(&self.with_waiting(&told))]);
        let mut dog = self
            .every
            .map(|every| Watchdog::new(every, liveness::now()));
        // Without a watchdog the line is still kept fresh now and then.
        let mut ticks = interval(self.every.unwrap_or(Duration::from_secs(60)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let stuck = dog.as_mut().and_then(|dog| self.look(dog));
                    let feed = dog.is_some() && stuck.is_none();
                    let status = notify::status(&match stuck {
                        Some(text) => text,
                        None if stopping => STOPPING_TEXT.to_owned(),
                        None => self.with_waiting(&told),
                    });
                    let lines = [status.as_str(), notify::WATCHDOG];
                    self.notifier.tell(if feed { &lines } else { &lines[..1] });
                }
                // Every acknowledgement is a change; only news is told.
                Ok(()) = self.link.changed(), if !stopping => {
                    let session = self.session();
                    if session != told {
                        self.notifier.tell(&[&notify::status(&self.with_waiting(&session))]);
                        told = session;
                    }
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.notifier.tell(&[
                        notify::STOPPING,
                        &notify::extend_timeout(self.stop_within),
                        &notify::status(STOPPING_TEXT),
                    ]);
                }
                () = done.cancelled() => return,
            }
        }
    }

    /// Waits for the first look at all runtimes, as long as it may take; not where the agent is to stop.
    async fn runtimes_looked_for(&self, stop: &CancellationToken) {
        tokio::select! {
            looked = timeout(FIRST_LOOK, self.registry.looked_once()) => if looked.is_err() {
                tracing::info!(
                    within_s = FIRST_LOOK.as_secs(),
                    "an address where a runtime may be has not answered yet; the agent is ready all the same"
                );
            },
            () = stop.cancelled() => {}
        }
    }

    /// What is stuck, if anything is.
    fn look(&mut self, dog: &mut Watchdog) -> Option<String> {
        let signs = self.signs.iter().chain(&self.loops.signs);
        let promises: Vec<_> = signs.map(LivenessSignal::promise).collect();
        self.loops.ask();
        match dog.look(liveness::now(), &promises) {
            Verdict::Feed => None,
            Verdict::Withhold { part, late } => {
                let late_s = late.as_secs();
                tracing::error!(
                    part,
                    late_s,
                    "a part of the agent does not move; the service manager will start the agent anew"
                );
                Some(format!(
                    "STUCK: {part} should have been heard of {late_s} s ago; waiting to be started anew"
                ))
            }
        }
    }

    /// The link in a few words.
    fn session(&mut self) -> String {
        let link = self.link.borrow_and_update();
        match link.phase {
            Phase::Off => "serving without a control plane".to_owned(),
            Phase::Connecting => "serving; connecting to the control plane".to_owned(),
            Phase::Connected => match &link.node {
                Some(node) => format!("serving; linked, node is {}", node.status.as_str()),
                None => "serving; linked".to_owned(),
            },
            Phase::Waiting => "serving; no link to the control plane".to_owned(),
            Phase::Replaced => "serving; another agent of this node has the link".to_owned(),
            Phase::Stopped => STOPPING_TEXT.to_owned(),
        }
    }

    /// The same with the spool.
    fn with_waiting(&self, session: &str) -> String {
        match (self.spool)() {
            Err(reason) => format!("NOT SERVING: {reason}"),
            Ok(0) => session.to_owned(),
            Ok(waiting) => format!("{session}; {waiting} receipts wait"),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    const WITHIN: Duration = Duration::from_secs(60);

    struct Manager {
        socket: UnixDatagram,
        _dir: tempfile::TempDir,
    }

    impl Manager {
        fn hear(&self) -> String {
            let mut message = [0; 4096];
            let length = self.socket.recv(&mut message).unwrap();
            String::from_utf8(message[..length].to_vec()).unwrap()
        }
    }

    fn readiness(
        signs: Vec<LivenessSignal>,
        link: watch::Receiver<LinkStatus>,
    ) -> (Manager, Readiness) {
        // Nobody looks, so that there is nothing to wait for.
        readiness_with(Registry::fixed(Vec::new()), signs, link)
    }

    fn readiness_with(
        registry: Registry,
        signs: Vec<LivenessSignal>,
        link: watch::Receiver<LinkStatus>,
    ) -> (Manager, Readiness) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(WITHIN)).unwrap();
        let readiness = Readiness {
            notifier: Notifier::from_environment(&|_| path.to_str().map(str::to_owned)),
            every: Some(Duration::from_millis(2)),
            signs,
            link,
            spool: Arc::new(|| Ok(3)),
            stop_within: Duration::from_secs(35),
            loops: Loops::new(Vec::new),
            registry,
        };
        (Manager { socket, _dir: dir }, readiness)
    }

    /// Hears until a message has this text; those before it must not have the other.
    async fn until(manager: Manager, text: &'static str, never: &'static str) -> Manager {
        let hearing = tokio::task::spawn_blocking(move || {
            loop {
                let message = manager.hear();
                assert!(!message.contains(never), "{message}");
                if message.contains(text) {
                    let is_stuck = text.contains("STUCK");
                    assert!(!is_stuck || !message.contains("WATCHDOG=1"), "{message}");
                    return manager;
                }
            }
        });
        hearing.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stuck_link_goes_unfed_and_is_fed_for_once_it_moves() {
        let sign = LivenessSignal::new("link");
        sign.within(Duration::ZERO);
        let (_link, status) = watch::channel(LinkStatus::new(None));
        let (manager, readiness) = readiness(vec![sign.clone()], status);
        let done = CancellationToken::new();
        let task = tokio::spawn(readiness.run(CancellationToken::new(), done.clone()));
        let manager = until(manager, "READY=1", "WATCHDOG=1").await;
        // A look that comes late by itself is lenient, so others may be fed in between; this one is not.
        let manager = until(manager, "STUCK: link", "never").await;
        sign.within(WITHIN);
        drop(until(manager, "WATCHDOG=1", "never").await);
        done.cancel();
        task.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_link_without_a_control_plane_is_fed_for_and_told() {
        let sign = LivenessSignal::new("link");
        sign.within(WITHIN);
        let (link, status) = watch::channel(LinkStatus::new(Some("ws://x".to_owned())));
        let (manager, readiness) = readiness(vec![sign], status);
        let (stop, done) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(readiness.run(stop.clone(), done.clone()));
        let manager = until(
            manager,
            "connecting to the control plane; 3 receipts wait",
            "STUCK",
        )
        .await;
        link.send_modify(|link| link.phase = Phase::Waiting);
        let manager = until(manager, "no link to the control plane", "STUCK").await;
        let manager = until(manager, "WATCHDOG=1", "STUCK").await;
        stop.cancel();
        let manager = until(manager, "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000", "STUCK").await;
        // While it stops it is still watched.
        drop(until(manager, "WATCHDOG=1", "STUCK").await);
        done.cancel();
        task.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_first_look_at_the_runtimes_comes_before_ready() {
        let (registry, feed) = Registry::new();
        let (_link, status) = watch::channel(LinkStatus::new(None));
        let (manager, readiness) = readiness_with(registry, Vec::new(), status);
        let done = CancellationToken::new();
        let task = tokio::spawn(readiness.run(CancellationToken::new(), done.clone()));
        manager
            .socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let mut message = [0; 4096];
        assert!(manager.socket.recv(&mut message).is_err(), "told too early");
        manager.socket.set_read_timeout(Some(WITHIN)).unwrap();
        feed.looked.send_replace(true);
        drop(until(manager, "READY=1", "STUCK").await);
        done.cancel();
        task.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_look_that_does_not_end_holds_the_start_up_for_a_while_only() {
        let (registry, _feed) = Registry::new();
        let (_link, status) = watch::channel(LinkStatus::new(None));
        let (manager, readiness) = readiness_with(registry, Vec::new(), status);
        let done = CancellationToken::new();
        let began = std::time::Instant::now();
        let task = tokio::spawn(readiness.run(CancellationToken::new(), done.clone()));
        drop(until(manager, "READY=1", "STUCK").await);
        assert!(began.elapsed() >= FIRST_LOOK);
        done.cancel();
        task.await.unwrap();
    }

    /// A loop that runs answers; one that is blocked owes its answer until it moves again; one that has ended owes none.
    #[test]
    fn a_blocked_event_loop_owes_its_answer() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        let mut loops = Loops::new(move || vec![handle.clone()]);
        let owes = |loops: &Loops| loops.signs[0].promise().due.is_some();
        loops.ask();
        assert!(owes(&loops), "nothing runs it yet");
        let first = loops.signs[0].promise();
        loops.ask();
        assert_eq!(
            loops.signs[0].promise(),
            first,
            "no new time for an old question"
        );
        runtime.block_on(tokio::task::yield_now());
        assert!(!owes(&loops));
        loops.ask();
        drop(runtime);
        assert!(!owes(&loops));
        loops.ask();
        assert!(!owes(&loops));
    }
}
