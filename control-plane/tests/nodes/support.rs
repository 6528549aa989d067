//! A control plane in this process, and conversations that several tests need.

use crate::documented::assert_documented;
use dgon_control_plane::app::{App, Clock, MasterKey, Regions, Settings};
use dgon_control_plane::bus::Event as BusEvent;
use dgon_control_plane::http::server::{ServerLimits, serve};
use dgon_control_plane::http::{HttpSettings, HttpState, router};
use dgon_control_plane::tasks;
use dgon_control_plane_model::lifecycle::State;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::{Scope, Store, System};
use dgon_protocol::error::{ErrorBody, ErrorType};
use dgon_protocol::frame::{
    Ack, Heartbeat, LifecycleStatus, Probe, ProbeOutcome, ProbeResult, ToAgent, ToControlPlane,
};
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::{Sha256Hash, Source};
use dgon_testkit::fleet::{Enrol, SimAgent, SimLink};
use reqwest::Method;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The server asks, as it does for itself.
pub(crate) const SERVER: System = System::of_the_server();
/// Everybody's rows.
pub(crate) const ALL: Scope = Scope::System(SERVER);

/// Longest wait for anything; a working control plane needs milliseconds.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running control plane.
pub(crate) struct Server {
    pub(crate) app: Arc<App>,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    database: String,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Removed when the server is dropped.
    _data: Box<dyn Any>,
}

/// Thresholds that a test can wait for.
pub(crate) fn quick() -> Settings {
    let regions = ["eu-test", "eu-west", "us-east", "ap-south"].map(str::to_owned);
    Settings {
        regions: Regions::new(regions.to_vec()).expect("a list"),
        heartbeat_flush: Duration::from_millis(20),
        probe_retry: Duration::from_millis(20),
        ..Settings::default()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(quick(), Clock::system()).await
    }

    pub(crate) async fn start_with(settings: Settings, clock: Clock) -> Self {
        let data = tempfile::tempdir().expect("data directory");
        let url = format!("sqlite:{}", data.path().join("test.db").display());
        Self::start_on(&url, Box::new(data), settings, clock).await
    }

    pub(crate) async fn start_on_postgres() -> Self {
        Self::start_on_postgres_with(quick(), Clock::system()).await
    }

    pub(crate) async fn start_on_postgres_with(settings: Settings, clock: Clock) -> Self {
        let database = dgon_testkit::postgres::Database::create().expect("throwaway PostgreSQL");
        let url = database.url();
        Self::start_on(&url, Box::new(database), settings, clock).await
    }

    /// Stops, and starts anew on the same database at another port.
    pub(crate) async fn restart(self) -> Self {
        let (app, database) = (Arc::clone(&self.app), self.database.clone());
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, self.tasks.wait()).await;
        ended.expect("tasks end");
        app.store.close().await;
        Self::start_on(
            &database,
            self._data,
            app.settings.clone(),
            app.clock.clone(),
        )
        .await
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Where links are opened.
    pub(crate) fn link_url(&self) -> String {
        format!("{}/api/v1/nodes/link", self.url.replacen("http", "ws", 1))
    }

    async fn start_on(url: &str, data: Box<dyn Any>, settings: Settings, clock: Clock) -> Self {
        let database = url.to_owned();
        let store = Store::open(url).await.expect("open");
        store.migrate().await.expect("migrate");
        let app = App::new(store, settings, MasterKey::from_bytes([7; 32]), clock);
        app.load().await.expect("load");
        let stop = CancellationToken::new();
        let tasks = tasks::spawn(&app, &stop);
        dgon_testkit::kept::log_here();
        let state = HttpState::new(Arc::clone(&app), HttpSettings::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let limits = ServerLimits::default();
        tokio::spawn(serve(listener, router(&state), limits, stop.clone()));
        let http = dgon_testkit::programs::http_client().expect("client");
        Self {
            app,
            url,
            http,
            database,
            stop,
            tasks,
            _data: data,
        }
    }

    /// Stops as `serve` does, and waits for what is under way.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.tasks.wait())
            .await
            .expect("tasks end");
    }

    /// An enrolment token.
    pub(crate) async fn token(&self, uses: i64) -> String {
        self.token_of(None, uses).await
    }

    /// An enrolment token of an organisation.
    pub(crate) async fn token_of(&self, org_id: Option<&str>, uses: i64) -> String {
        self.token_in(Some("eu-test"), org_id, uses).await
    }

    /// An enrolment token of a region, whatever the network's list says.
    pub(crate) async fn token_in(
        &self,
        region: Option<&str>,
        org_id: Option<&str>,
        uses: i64,
    ) -> String {
        let token = format!("token-{}", Sha256Hash::of(&rand_bytes()).to_hex());
        let row = NewEnrolmentToken {
            id: token[..16].to_owned(),
            token_hash: Sha256Hash::of(token.as_bytes()).0,
            label: "test".to_owned(),
            region: region.map(str::to_owned),
            org_id: org_id.map(str::to_owned),
            pool_id: None,
            created_by: "test".to_owned(),
            created_at_ms: self.app.clock.now_ms(),
            expires_at_ms: self.app.clock.now_ms() + 3_600_000,
            uses,
            key_id: None,
        };
        let (store, audit) = (&self.app.store, AuditEntry::default());
        if let Some(org_id) = org_id {
            // One that is there already is as good.
            let made = store.org_create(&ALL, org_id, org_id, &audit).await;
            made.expect("org");
        }
        let kept = store.enrolment_token_create(&ALL, &row, &audit).await;
        assert!(kept.expect("token"));
        token
    }

    /// An enrolled agent.
    pub(crate) async fn agent(&self, name: &str) -> SimAgent {
        let token = self.token(1).await;
        let options = Enrol {
            node_id: Some(NodeId::parse(name).expect("name")),
            region: None,
        };
        SimAgent::enrol(&self.http, &self.url, &token, options)
            .await
            .expect("enrol")
    }

    /// An enrolled agent whose probe has passed, with its link.
    pub(crate) async fn active_agent(&self, name: &str) -> (SimAgent, SimLink) {
        let mut agent = self.agent(name).await;
        let mut link = agent.connect().await.expect("connect");
        become_active(&mut agent, &mut link).await;
        (agent, link)
    }

    pub(crate) fn state(&self, agent: &SimAgent) -> State {
        self.app
            .lifecycles
            .get(&agent.node_id)
            .expect("known")
            .state
    }

    /// Waits for a state, by events.
    pub(crate) async fn until_state(&self, agent: &SimAgent, state: State) {
        let mut events = self.app.bus.subscribe();
        let waiting = async {
            while self.state(agent) != state {
                match events.recv().await.expect("bus") {
                    BusEvent::Node { .. } | BusEvent::Heartbeat { .. } | BusEvent::Receipts(_) => {}
                }
            }
        };
        let reached = tokio::time::timeout(SOON, waiting).await;
        assert!(
            reached.is_ok(),
            "still {:?}, not {state:?}",
            self.state(agent)
        );
    }

    /// What anybody is shown.
    pub(crate) async fn shown(&self, path: &str) -> serde_json::Value {
        let request = self.http.get(format!("{}/api/v1{path}", self.url));
        let response = request.send().await.expect("send");
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.expect("JSON")
    }

    /// Waits until what anybody is shown is as wanted, looking again when something happened.
    pub(crate) async fn until_shown(
        &self,
        path: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let waiting = async {
            loop {
                ticks.tick().await;
                let shown = self.shown(path).await;
                if wanted(&shown) {
                    return;
                }
            }
        };
        let reached = tokio::time::timeout(SOON, waiting).await;
        assert!(
            reached.is_ok(),
            "{path} still shows {}",
            self.shown(path).await
        );
    }

    /// Waits until what nodes sent before has been taken from their links.
    pub(crate) async fn until_heard(&self, links: &mut [(&SimAgent, &mut SimLink)]) {
        let mark =
            1_000_000 + u64::from_be_bytes(rand_bytes()[..8].try_into().expect("8")) % 1_000_000;
        for (_, link) in links.iter_mut() {
            let heartbeat = Heartbeat {
                uptime_s: mark,
                ..Heartbeat::default()
            };
            let frame = ToControlPlane::Heartbeat(heartbeat);
            link.send(&frame).await.expect("heartbeat");
        }
        for (agent, _) in links {
            self.until(|| {
                let presence = self.app.presence.get(&agent.node_id);
                presence.is_some_and(|seen| {
                    seen.heartbeat
                        .is_some_and(|(_, heartbeat)| heartbeat.uptime_s == mark)
                })
            })
            .await;
        }
    }

    /// Waits until something is so, looking now and then.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let waiting = async {
            while !holds() {
                ticks.tick().await;
            }
        };
        let reached = tokio::time::timeout(SOON, waiting).await;
        assert!(reached.is_ok(), "it did not become so in time");
    }

    /// Sends a request with the node headers of `agent`.
    pub(crate) async fn post(
        &self,
        agent: &SimAgent,
        path: &str,
        body: &[u8],
    ) -> reqwest::Response {
        let mut request = self
            .http
            .post(format!("{}{path}", self.url))
            .body(body.to_vec());
        for (name, value) in agent.headers("POST", path, body).expect("headers") {
            request = request.header(name, value);
        }
        as_documented(Method::POST, request.send().await.expect("send")).await
    }
}

/// The same answer; the OpenAPI document tells of it.
pub(crate) async fn as_documented(
    method: Method,
    response: reqwest::Response,
) -> reqwest::Response {
    let (status, headers) = (response.status(), response.headers().clone());
    let path = response.url().path().to_owned();
    let body = response.bytes().await.expect("a body");
    assert_documented(&method, &path, status.as_u16(), &body);
    let mut same = http::Response::new(body);
    *same.status_mut() = status;
    *same.headers_mut() = headers;
    same.into()
}

fn rand_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("entropy");
    bytes
}

/// The type of an error answer.
pub(crate) async fn error_type(response: reqwest::Response) -> ErrorType {
    response
        .json::<ErrorBody>()
        .await
        .expect("an error body")
        .error
        .kind
}

/// Waits for an acknowledgement of at least `seq`, or of refusals.
pub(crate) async fn ack(link: &mut SimLink, seq: u64) -> Ack {
    link.until(SOON, |frame| match frame {
        ToAgent::Ack(ack) if ack.acked_seq >= seq || !ack.refused.is_empty() => Some(ack.clone()),
        _ => None,
    })
    .await
    .expect("ack")
}

/// Waits for refusals and for the quarantine that they cause, in whichever order they come.
pub(crate) async fn quarantined(link: &mut SimLink) -> (Ack, String) {
    let (mut refusals, mut reason) = (None, None);
    link.until(SOON, |frame| {
        match frame {
            ToAgent::Ack(ack) if !ack.refused.is_empty() => refusals = Some(ack.clone()),
            ToAgent::Status(status) if status.status == LifecycleStatus::Quarantine => {
                reason = Some(status.reason.to_string());
            }
            _ => {}
        }
        refusals.clone().zip(reason.clone())
    })
    .await
    .expect("refusals and quarantine")
}

pub(crate) async fn status(link: &mut SimLink, wanted: LifecycleStatus) -> String {
    link.until(SOON, |frame| match frame {
        ToAgent::Status(status) if status.status == wanted => Some(status.reason.to_string()),
        _ => None,
    })
    .await
    .expect("status")
}

pub(crate) async fn probe(link: &mut SimLink) -> Probe {
    link.until(SOON, |frame| match frame {
        ToAgent::Probe(probe) => Some(probe.clone()),
        _ => None,
    })
    .await
    .expect("probe")
}

/// Serves a probe as an agent does: receipt, then result.
pub(crate) async fn serve_probe(agent: &mut SimAgent, link: &mut SimLink, probe: &Probe) {
    let receipt = agent
        .next_receipt_with(|draft| {
            draft.request_id = probe.request_id.clone();
            draft.source = Source::Probe;
            draft.model_id = probe.model.clone().unwrap_or_default();
        })
        .expect("receipt");
    link.send_receipts([&receipt]).await.expect("receipt");
    answer_probe(link, probe, ProbeOutcome::Ok).await;
}

pub(crate) async fn answer_probe(link: &mut SimLink, probe: &Probe, outcome: ProbeOutcome) {
    let result = ProbeResult {
        probe_id: probe.probe_id.clone(),
        request_id: Some(probe.request_id.clone()),
        outcome,
        message: None,
        model: None,
        tokens_input: 3,
        tokens_output: 4,
        ttft_ms: Some(5),
        latency_ms: 6,
    };
    link.send(&ToControlPlane::ProbeResult(result))
        .await
        .expect("result");
}

pub(crate) async fn become_active(agent: &mut SimAgent, link: &mut SimLink) {
    let probe = probe(link).await;
    serve_probe(agent, link, &probe).await;
    assert_eq!(status(link, LifecycleStatus::Active).await, "probe_passed");
}
