//! A real server over real HTTP, on SQLite in a temporary directory, with a clock that stands still.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::expect_used, reason = "helpers of tests fail like tests do")]

mod documented;
mod secrets;

use dgon_control_plane::accounts::{Email, NewAccount, Origin, Role};
use dgon_control_plane::app::{App, Clock, MasterKey, Settings};
use dgon_control_plane::http::server::{self, ServerLimits};
use dgon_control_plane::http::{HttpSettings, HttpState, metrics, router};
use dgon_control_plane_store::{ReadLimits, Scope, System};
use dgon_testkit::kept;
use documented::assert_documented;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
pub(crate) use secrets::FIELDS as SECRET_FIELDS;
use secrets::Secrets;
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The server asks, as it does for itself.
pub(crate) const SERVER: System = System::of_the_server();
/// Everybody's rows.
pub(crate) const ALL: Scope = Scope::System(SERVER);

/// When the tests take place, unix ms.
pub(crate) const NOW_MS: i64 = 1_795_230_000_000;
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A running server; it stops when this is dropped.
pub(crate) struct Server {
    pub(crate) state: HttpState,
    pub(crate) clock: Clock,
    pub(crate) base: String,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Settings::default(), HttpSettings::default()).await
    }

    pub(crate) async fn start_with(settings: Settings, http: HttpSettings) -> Self {
        Self::start_at(settings, http, Clock::manual(NOW_MS)).await
    }

    pub(crate) async fn start_at(settings: Settings, http: HttpSettings, clock: Clock) -> Self {
        Self::start_reading(ReadLimits::default(), settings, http, clock).await
    }

    pub(crate) async fn start_reading(
        limits: ReadLimits,
        settings: Settings,
        http: HttpSettings,
        clock: Clock,
    ) -> Self {
        kept::log_here();
        let dir = tempfile::tempdir().expect("temporary directory");
        let url = format!("sqlite:{}", dir.path().join("dgon.db").display());
        let store = limits.open(&url).await.expect("open");
        store.migrate().await.expect("migrate");
        let key = MasterKey::from_bytes([7; 32]);
        let app: Arc<App> = App::new(store, settings, key, clock.clone());
        app.load().await.expect("load");
        metrics::install().expect("metrics");
        let state = HttpState::new(app, http);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let base = format!("http://{}", listener.local_addr().expect("address"));
        let stop = CancellationToken::new();
        tokio::spawn(server::serve(
            listener,
            router(&state),
            ServerLimits::default(),
            stop.clone(),
        ));
        Self {
            state,
            clock,
            base,
            stop,
            _dir: dir,
        }
    }

    /// Makes a user with a password.
    pub(crate) async fn user(&self, email: &str, roles: &[Role]) {
        self.user_of("main", email, roles).await;
    }

    /// Makes a user of an organisation with a password; who it is.
    pub(crate) async fn user_of(&self, org_id: &str, email: &str, roles: &[Role]) -> String {
        let new = NewAccount {
            email: Email::parse(email).expect("email"),
            password: Some(PASSWORD.into()),
            org_id: org_id.to_owned(),
            roles: roles.iter().copied().collect(),
        };
        let made = self
            .state
            .accounts
            .user_create(&ALL, new, "cli", &Origin::default())
            .await;
        made.expect("user")
    }

    /// A browser that is signed in with these roles.
    pub(crate) async fn signed_in(&self, email: &str, roles: &[Role]) -> Browser {
        self.user(email, roles).await;
        self.sign_in(email).await
    }

    /// A browser in which somebody signs in who was made by [`Server::user`].
    pub(crate) async fn sign_in(&self, email: &str) -> Browser {
        let mut browser = Browser::new(self);
        let body = serde_json::json!({ "email": email, "password": PASSWORD });
        let response = browser.post("/api/v1/auth/login", body).await;
        assert_eq!(response.status, StatusCode::OK, "{:?}", response.json);
        browser
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("body");
        Self {
            status,
            headers,
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }

    /// The error type, when this is an error of the one shape.
    pub(crate) fn error(&self) -> &str {
        let error = &self.json["error"];
        let shown = self
            .headers
            .get("x-request-id")
            .and_then(|id| id.to_str().ok());
        assert_eq!(error["request_id"].as_str(), shown, "{}", self.text);
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{}",
            self.text
        );
        error["type"].as_str().expect("an error type")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    /// Values of `Set-Cookie` by name.
    pub(crate) fn cookies(&self) -> Vec<(String, String)> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .filter_map(|value| value.to_str().ok()?.split(';').next()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

/// Keeps cookies and the CSRF token as the console does.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    client: reqwest::Client,
    base: String,
    pub(crate) cookies: Vec<(String, String)>,
    pub(crate) csrf: Option<String>,
}

impl Browser {
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            client: client(),
            base: server.base.clone(),
            cookies: Vec::new(),
            csrf: None,
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("sec-fetch-site", "same-origin");
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self
                .cookies
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            request = request.header("cookie", pairs.join("; "));
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("x-csrf-token", csrf);
        }
        request
    }

    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Answer {
        let request = request.build().expect("a request");
        let secrets = Secrets::of(&request);
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.client.execute(request).await;
        let answer = Answer::of(response.expect("response")).await;
        assert_documented(
            &method,
            &path,
            answer.status.as_u16(),
            answer.text.as_bytes(),
        );
        secrets.are_not_told(&answer);
        secrets::note(&answer);
        for (name, value) in answer.cookies() {
            self.cookies.retain(|(known, _)| *known != name);
            if !value.is_empty() {
                self.cookies.push((name, value));
            }
        }
        if let Some(csrf) = answer.json["csrf_token"].as_str() {
            self.csrf = Some(csrf.to_owned());
        }
        answer
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub(crate) async fn put(&mut self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    pub(crate) async fn patch(&mut self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body))
            .await
    }

    pub(crate) async fn delete(&mut self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }
}

/// A client that follows nothing and keeps nothing.
pub(crate) fn client() -> reqwest::Client {
    // A second installation in one process is refused, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("client")
}
