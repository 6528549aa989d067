//! A server on a seeded network, and people who are signed in to it.

use crate::documented::assert_documented;
use dgon_control_plane::accounts::{Email, NewAccount, Origin, Role};
use dgon_control_plane::app::{App, Clock, MasterKey, Settings};
use dgon_control_plane::http::server::{ServerLimits, serve};
use dgon_control_plane::http::{HttpSettings, HttpState, router};
use dgon_control_plane_store::{Scope, Store, System};
use dgon_testkit::postgres;
use dgon_testkit::seed::{Seed, Seeded, seed};
use reqwest::header::{CACHE_CONTROL, COOKIE, HeaderMap, SET_COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The last receipt of the seed, and the time on the server's clock.
pub(crate) const NOW_MS: i64 = 1_795_230_000_000;
const PASSWORD: &str = "a long enough password";

/// Ends when dropped.
pub(crate) struct Server {
    pub(crate) app: Arc<App>,
    pub(crate) address: String,
    /// What was seeded, the newest first.
    pub(crate) receipts: Vec<Seeded>,
    state: HttpState,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Who asks: a cookie header, or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Who(pub(crate) Option<String>);

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// What is answered to a request, which the OpenAPI document tells of.
    async fn of(method: Method, request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let path = response.url().path().to_owned();
        let answer = Self {
            status: response.status(),
            headers: response.headers().clone(),
            bytes: response.bytes().await.expect("a body").to_vec(),
        };
        assert_documented(&method, &path, answer.status.as_u16(), &answer.bytes);
        answer
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("a JSON body")
    }

    pub(crate) fn cache_control(&self) -> &str {
        self.headers
            .get(CACHE_CONTROL)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    /// Even nodes belong to the org of everybody here, odd ones to nobody.
    pub(crate) async fn start(url: &str, nodes: u32, receipts_per_node: u32) -> Self {
        let store = Store::open(url).await.expect("open");
        store.migrate().await.expect("migrate");
        let network = Seed {
            org_id: Some("main"),
            ..Seed::day(nodes, receipts_per_node, NOW_MS)
        };
        let mut receipts = Vec::new();
        seed(&store, &network, |receipt| receipts.push(receipt.clone()))
            .await
            .expect("seed");
        receipts.reverse();
        let clock = Clock::manual(NOW_MS);
        let app = App::new(
            store,
            Settings::default(),
            MasterKey::from_bytes([7; 32]),
            clock,
        );
        app.load().await.expect("load");
        let mut server = Self::over(app).await;
        server.receipts = receipts;
        server
    }

    /// The console of an app that runs already.
    pub(crate) async fn over(app: Arc<App>) -> Self {
        Self::over_with(app, HttpSettings::default()).await
    }

    pub(crate) async fn over_with(app: Arc<App>, settings: HttpSettings) -> Self {
        dgon_testkit::kept::log_here();
        let state = HttpState::new(Arc::clone(&app), settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        let stop = CancellationToken::new();
        tokio::spawn(serve(
            listener,
            router(&state),
            ServerLimits::default(),
            stop.clone(),
        ));
        Self {
            app,
            address,
            receipts: Vec::new(),
            state,
            stop,
        }
    }

    pub(crate) async fn get(&self, who: &Who, path: &str) -> Answer {
        let mut request = client().get(format!("http://{}/api/v1{path}", self.address));
        if let Some(cookie) = &who.0 {
            request = request.header(COOKIE, cookie);
        }
        Answer::of(Method::GET, request).await
    }

    /// The JSON of a 200.
    pub(crate) async fn read(&self, who: &Who, path: &str) -> Value {
        let answer = self.get(who, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.json());
        answer.json()
    }

    /// Changes something, as the page does.
    pub(crate) async fn put(&self, who: &Who, path: &str, body: &Value) {
        self.change(Method::PUT, who, path, body).await;
    }

    /// The same with another method.
    pub(crate) async fn change(&self, method: Method, who: &Who, path: &str, body: &Value) {
        let answer = self.ask(method, who, path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.json());
    }

    /// The same, whatever is answered.
    pub(crate) async fn ask(&self, method: Method, who: &Who, path: &str, body: &Value) -> Answer {
        let me = self.read(who, "/users/me").await;
        let csrf = me["csrf_token"].as_str().expect("a token");
        let request = client()
            .request(
                method.clone(),
                format!("http://{}/api/v1{path}", self.address),
            )
            .header("x-csrf-token", csrf)
            .header(COOKIE, who.0.as_deref().expect("a session"));
        Answer::of(method, request.json(body)).await
    }

    /// Makes a person with this role and signs in.
    pub(crate) async fn sign_in(&self, role: Role) -> Who {
        self.sign_in_to("main", role.as_str(), role).await
    }

    /// Makes a person of an organisation and signs in.
    pub(crate) async fn sign_in_to(&self, org_id: &str, name: &str, role: Role) -> Who {
        let email = format!("{name}@example.org");
        let new = NewAccount {
            email: Email::parse(&email).expect("email"),
            password: Some(PASSWORD.into()),
            org_id: org_id.to_owned(),
            roles: [role].into_iter().collect(),
        };
        let (scope, origin) = (Scope::from(System::of_the_server()), Origin::default());
        let made = self.state.accounts.user_create(&scope, new, "cli", &origin);
        made.await.expect("user");
        self.log_in(name).await
    }

    pub(crate) fn advance_days(&self, days: i64) {
        self.app.clock.advance(days * 86_400_000);
    }

    /// Signs a person in who was made by [`Server::sign_in`].
    pub(crate) async fn sign_in_again(&self, role: Role) -> Who {
        self.log_in(role.as_str()).await
    }

    /// Signs a person in who was made by [`Server::sign_in_to`].
    pub(crate) async fn log_in(&self, name: &str) -> Who {
        self.log_in_after(&Who::default(), name).await
    }

    /// The same in the browser of somebody who was signed in there before.
    pub(crate) async fn log_in_after(&self, before: &Who, name: &str) -> Who {
        let email = format!("{name}@example.org");
        let response = client()
            .post(format!("http://{}/api/v1/auth/login", self.address))
            .header(COOKIE, before.0.as_deref().unwrap_or_default())
            .json(&json!({ "email": email, "password": PASSWORD }))
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let cookies: Vec<&str> = response
            .headers()
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok()?.split(';').next())
            .collect();
        Who(Some(cookies.join("; ")))
    }
}

fn client() -> reqwest::Client {
    // The first one to come installs it for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// Runs a test over a network of this size on SQLite and on PostgreSQL.
pub(crate) async fn on_both<F, Fut>(nodes: u32, receipts_per_node: u32, test: F)
where
    F: Fn(Arc<Server>) -> Fut,
    Fut: Future<Output = ()>,
{
    let dir = tempfile::tempdir().expect("temporary directory");
    let url = format!("sqlite:{}", dir.path().join("dgon.db").display());
    test(Arc::new(
        Server::start(&url, nodes, receipts_per_node).await,
    ))
    .await;
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    test(Arc::new(
        Server::start(&database.url(), nodes, receipts_per_node).await,
    ))
    .await;
}
