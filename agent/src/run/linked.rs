//! Keeps the link, and changes the node's key under it.
//!
//! The link speaks of one chain. So a change of keys waits until the control plane has taken the new key, ends the
//! link, takes the spool from its writer for the moment of the change, and starts both again with the new key;
//! requests that end meanwhile wait for the new writer. Receipts of old chains go home beside the link.

use super::RunError;
use super::opened::open_spool;
use super::settings::region;
use crate::api::Api;
use crate::config::{Config, StateDir};
use crate::identity::{Identity, control_plane};
use crate::link::{self, LinkStatus, Parts};
use crate::net::Network;
use crate::proxy::HashKey;
use crate::receipts::{Detached, Receipts, Signer};
use crate::rotation::change::{self, Changed};
use crate::rotation::tail::Tail;
use crate::rotation::{AskError, Asked, Record, ask, files};
use dgon_agent_core::error::chain;
use dgon_protocol::limits::KEY_GRACE;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long until the control plane is asked again about a change that has no answer.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// How long until a disk that does not let the change end is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How long the link waits for the first inventory.
const FIRST_INVENTORY: Duration = Duration::from_secs(5);

/// Somebody wants another key; he is told how it went.
pub(super) type KeyChangeRequest = oneshot::Sender<Result<Changed, String>>;

/// The link, and what a change of keys touches.
pub(super) struct LinkSupervisor {
    pub(super) config: Config,
    pub(super) state: StateDir,
    pub(super) identity: Identity,
    pub(super) receipts: Receipts,
    pub(super) hash_key: HashKey,
    pub(super) parts: Parts,
    pub(super) link_out: watch::Sender<LinkStatus>,
    pub(super) key_changes: mpsc::Receiver<KeyChangeRequest>,
}

/// What ends a link.
enum Next {
    Stop,
    /// A task ended that only a panic ends.
    Panicked(&'static str),
    Change(Box<Record>, Option<KeyChangeRequest>),
}

impl LinkSupervisor {
    /// Runs until `stop`.
    ///
    /// # Errors
    /// [`RunError::Panicked`]: the agent has no link any more and must end.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), RunError> {
        // What is not known yet would be told as nothing, and the node as one without a runtime.
        let mut inventory = self.parts.inventory.clone();
        tokio::select! {
            _ = timeout(FIRST_INVENTORY, inventory.changed()) => {}
            () = stop.cancelled() => {}
        }
        loop {
            let session = CancellationToken::new();
            let settings = super::link_settings(&self.config, &self.identity);
            let mut link = tokio::spawn(link::run(
                settings,
                self.parts.clone(),
                self.link_out.clone(),
                session.clone(),
            ));
            let tail = self
                .tail()
                .map(|tail| tokio::spawn(tail.run(session.clone())));
            let next = self.until_next(&mut link, &stop).await;
            session.cancel();
            if let Next::Panicked(part) = next {
                return Err(RunError::Panicked { part });
            }
            // They end by their token, or by a panic.
            (&mut link)
                .await
                .map_err(|_| RunError::Panicked { part: "link" })?;
            if let Some(tail) = tail {
                tail.await.map_err(|_| RunError::Panicked {
                    part: "sending of old chains",
                })?;
            }
            match next {
                Next::Stop | Next::Panicked(_) => return Ok(()),
                Next::Change(record, request) => {
                    let changed = self.change_over(*record, &stop).await;
                    if let Some(request) = request {
                        // Who asked may have hung up.
                        drop(request.send(changed));
                    }
                }
            }
        }
    }

    async fn until_next(
        &mut self,
        link: &mut tokio::task::JoinHandle<()>,
        stop: &CancellationToken,
    ) -> Next {
        // A change that was cut off goes on at once.
        let mut look_at = Instant::now();
        loop {
            let request = tokio::select! {
                biased;
                () = stop.cancelled() => return Next::Stop,
                // It ends by a token that nobody has cancelled yet, so this is a panic.
                _ = &mut *link => return Next::Panicked("link"),
                Some(request) = self.key_changes.recv() => Some(request),
                () = tokio::time::sleep_until(look_at), if self.is_open() => None,
            };
            look_at = Instant::now() + ASK_AGAIN;
            let asked = tokio::select! {
                asked = self.ask(request.is_some()) => asked,
                () = stop.cancelled() => return Next::Stop,
            };
            match (asked, request) {
                (Ok(Some(record)), request) => return Next::Change(record, request),
                (Ok(None), None) => {}
                (Ok(None), Some(request)) => drop(request.send(Err(
                    "the last change of keys still waits for the control plane's answer".to_owned(),
                ))),
                (Err(error), Some(request)) => drop(request.send(Err(chain(&error)))),
                (Err(error), None) => {
                    tracing::warn!(reason = chain(&error), "a change of keys is not done");
                }
            }
        }
    }

    /// Whether the control plane is to be asked about a change.
    fn is_open(&self) -> bool {
        change::is_pending(&self.state) || self.unanswered().is_some()
    }

    /// A change that was made without an answer, because none came in time.
    fn unanswered(&self) -> Option<Record> {
        let line = files::history(&self.state, &self.identity.key.public()).ok()?;
        line.into_iter()
            .next()
            .filter(|record| record.valid_from_ms.is_none())
    }

    /// Asks the control plane; the change that is to be made now.
    async fn ask(&self, is_requested: bool) -> Result<Option<Box<Record>>, AskError> {
        let Some(api) = api(&self.config, &self.identity) else {
            return Ok(None);
        };
        let now_s = crate::clock::unix_s();
        let node = &self.identity.enrolment;
        if let Some(mut record) = self.unanswered() {
            ask(&api, node, &self.state, &mut record, now_s).await?;
            tracing::info!("the control plane knows the new key now");
            return Ok(None);
        }
        if !is_requested && !change::is_pending(&self.state) {
            return Ok(None);
        }
        let mut record = change::begin(&self.state, &self.identity, now_s)?;
        let asked = ask(&api, node, &self.state, &mut record, now_s).await;
        match change::give_up_refused(&self.state, asked) {
            Ok(Asked::Taken { .. }) => Ok(Some(Box::new(record))),
            Err(AskError::NoAnswer(error)) if is_overdue(&record, now_s) => {
                tracing::warn!(
                    %error,
                    "no answer about the new key came in time; the agent changes over, as the old key may be past \
                     its time"
                );
                Ok(Some(Box::new(record)))
            }
            Err(error) => Err(error),
        }
    }

    /// Changes over, and starts the writer again with whatever key is then in use.
    async fn change_over(
        &mut self,
        mut record: Record,
        stop: &CancellationToken,
    ) -> Result<Changed, String> {
        let Some(handed) = self.receipts.hand_over().await else {
            return Err("the agent is stopping".to_owned());
        };
        let is_sound = handed.end.is_some() || handed.is_behind;
        let (state, old, end) = (self.state.clone(), self.identity.key.clone(), handed.end);
        let outcome = tokio::task::spawn_blocking(move || {
            if !is_sound {
                return Err(
                    "the spool cannot be written now; the key changes when it can".to_owned(),
                );
            }
            files::change_over(&state, &old, &mut record, end).map_err(|error| chain(&error))?;
            Ok(record)
        });
        let outcome = outcome
            .await
            .unwrap_or_else(|_| Err("the change was cut off".to_owned()));
        self.start_again(handed, stop).await?;
        let record = outcome.inspect_err(|reason| {
            tracing::error!(reason, "the key was not changed; the old one stays in use");
        })?;
        let changed = Changed {
            old: record.rotation.old_key,
            new: record.rotation.new_key,
            valid_from_ms: record.valid_from_ms.unwrap_or(0),
        };
        tracing::info!(
            old = changed.old.key_id(),
            new = changed.new.key_id(),
            "the node signs with its new key, in a new chain"
        );
        Ok(changed)
    }

    /// Opens the spool of the key in use; tries until it can or the agent stops.
    async fn start_again(
        &mut self,
        handed: Detached,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        loop {
            let (state, config) = (self.state.clone(), self.config.clone());
            let opening = tokio::task::spawn_blocking(move || {
                files::settle(&state).map_err(RunError::Files)?;
                let identity = Identity::load(&state).map_err(RunError::Identity)?;
                let spool = open_spool(&config, &state, &identity)?;
                Ok::<_, RunError>((identity, spool))
            });
            let opened = opening.await.map_err(|error| error.to_string())?;
            match opened {
                Ok((identity, spool)) => {
                    let signer = Signer::new(
                        identity.key.clone(),
                        identity.node_id().clone(),
                        region(&self.config, &identity),
                    );
                    self.hash_key.set(*identity.prompt_hash_key());
                    self.identity = identity;
                    return handed
                        .resume(spool, signer)
                        .map_err(|error| error.to_string());
                }
                Err(error) => {
                    tracing::error!(
                        reason = chain(&error),
                        "no request ends until the spool can be opened"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(TRY_AGAIN) => {}
                () = stop.cancelled() => return Err("the agent is stopping".to_owned()),
            }
        }
    }

    /// The bringing home of old chains, where there are any.
    fn tail(&self) -> Option<Tail> {
        if !self.state.retired_root().is_dir() {
            return None;
        }
        Some(Tail {
            state: self.state.clone(),
            key: self.identity.key.public(),
            api: api(&self.config, &self.identity)?,
            node: self.identity.enrolment.clone(),
            receipts: self.receipts.clone(),
            limits: super::settings::spool_limits(&self.config),
        })
    }
}

/// After half of the grace the old key may be past its time before the answer comes.
fn is_overdue(record: &Record, now_s: u64) -> bool {
    let patience_s = KEY_GRACE.as_secs() / 2;
    record
        .asked_s
        .is_some_and(|asked_s| now_s.saturating_sub(asked_s) > patience_s)
}

/// A client of the control plane, through the address that is known to work.
fn api(config: &Config, identity: &Identity) -> Option<Api> {
    let base = control_plane(config, Some(&identity.enrolment))?;
    let network = Network::from_environment(config.control_plane.ca_file.as_deref());
    Some(Api::new(base, network))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BaseUrl;
    use crate::identity::{Enrolment, NodeSecret, create_key, store_enrolment};
    use crate::mode::ModeSwitch;
    use crate::proxy::{Proxy, Settings};
    use crate::runtime::Registry;
    use crate::spool::Lock;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use dgon_protocol::frame::{Inventory, Probe, ProbeResult};
    use dgon_protocol::id::NodeId;
    use dgon_testkit::link_server::{Script, StubControlPlane};
    use futures_util::future::BoxFuture;
    use std::sync::Arc;

    struct NoProber;

    impl link::Prober for NoProber {
        fn probe(
            &self,
            _probe: Probe,
        ) -> Result<BoxFuture<'static, ProbeResult>, Box<ProbeResult>> {
            Ok(Box::pin(std::future::pending()))
        }
    }

    /// A node that is enrolled with the stub, and of which one part panics as soon as the link stands.
    async fn panicking(dir: &std::path::Path) -> (StubControlPlane, LinkSupervisor) {
        let state = StateDir::new(dir.join("state"));
        let node_id = NodeId::parse("rig-7").unwrap();
        let stub = StubControlPlane::start(node_id.clone(), &[5; 32], Script::default());
        let stub = stub.await.unwrap();
        create_key(&state).unwrap();
        let enrolment = Enrolment {
            node_id,
            region: String::new(),
            link_url: StubControlPlane::link_url(stub.address()),
            secret: NodeSecret::parse(&STANDARD.encode([5; 32])).unwrap(),
        };
        store_enrolment(&state, &enrolment).unwrap();
        let identity = Identity::load(&state).unwrap();
        let mut config = Config::default();
        config.control_plane.api = BaseUrl::parse(&format!("http://{}", stub.address())).ok();
        let lock = Lock::take(state.path()).unwrap();
        let receipts =
            super::super::opened::open_receipts(&config, &state, &identity, lock.into()).unwrap();
        let parts = Parts {
            receipts: receipts.clone(),
            inventory: watch::channel(Arc::new(Inventory::default())).1,
            heartbeat: Arc::new(|| Box::pin(async { panic!("a fault in the program") })),
            prober: Arc::new(NoProber),
            proxy: Proxy::new(
                Registry::fixed(Vec::new()),
                Arc::new(receipts.clone()),
                Settings::with_hash_key([0; 32]),
            ),
            orders: Arc::default(),
            mode: ModeSwitch::default(),
            refresh: Arc::default(),
            liveness: crate::liveness::LivenessSignal::new("link"),
        };
        let linked = LinkSupervisor {
            hash_key: Settings::with_hash_key([0; 32]).hash_key,
            config,
            state,
            identity,
            receipts,
            parts,
            link_out: watch::channel(LinkStatus::new(None)).0,
            key_changes: mpsc::channel(1).1,
        };
        (stub, linked)
    }

    #[tokio::test]
    async fn a_panic_of_the_link_ends_the_agent_with_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (_stub, linked) = panicking(dir.path()).await;
        let ended = linked.run(CancellationToken::new()).await;
        assert!(matches!(ended, Err(RunError::Panicked { part: "link" })));
    }
}
