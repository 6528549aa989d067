//! What handlers of this module share.

use super::anonymous::Anonymous;
use super::client_ip::IpBlock;
use super::cookies::Cookies;
use super::downloads::Catalog;
use crate::accounts::{Accounts, PasswordHasher};
use crate::app::{App, Turns};
use crate::rate_limit::RateLimit;
use axum::extract::FromRef;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Live sockets of one asker: the browsers of an office, and not all that this server holds.
const SOCKETS_EACH: usize = 256;
/// Accounts that may be tried from one network in an hour: each try tells whether an address has one.
const REGISTRATIONS: u32 = 10;

/// Settings of the HTTP server, beside those of [`App`].
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpBlock>,
    /// Failed sign-ins per minute and address.
    pub sign_ins_per_minute: u32,
    /// API keys that do not work per minute and network: each is a question to the database.
    pub key_failures_per_minute: u32,
    /// Requests per minute and address of callers who are not signed in.
    pub anonymous_reads_per_minute: u32,
    /// How long what one of them was told is good for the others.
    pub anonymous_fresh: Duration,
    /// Changes per minute that one person may make.
    pub writes_per_minute: u32,
    /// How long all that one question reads may take.
    pub page_within: Duration,
    /// How long a browser may take to read what it is told at once on its live socket.
    pub live_write_within: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Folder of the packages that machines may download; none are offered without one.
    pub downloads_dir: Option<PathBuf>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            sign_ins_per_minute: 10,
            key_failures_per_minute: 60,
            anonymous_reads_per_minute: 1_200,
            anonymous_fresh: Duration::from_secs(1),
            writes_per_minute: 300,
            page_within: Duration::from_secs(5),
            live_write_within: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            downloads_dir: None,
        }
    }
}

/// The shared state. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpState {
    /// The state that every part works on.
    pub app: Arc<App>,
    /// People.
    pub accounts: Accounts,
    /// Failed sign-ins.
    pub sign_ins: RateLimit<IpAddr>,
    /// Accounts that people try to make themselves.
    pub registrations: RateLimit<IpAddr>,
    /// API keys that do not work, by network.
    pub key_failures: RateLimit<IpAddr>,
    /// Changes that people make, by account.
    pub writes: RateLimit<String>,
    /// What callers ask who are not signed in.
    pub anonymous: Anonymous,
    /// Who has live sockets.
    pub sockets: Turns,
    /// The cookies of sessions.
    pub cookies: Cookies,
    /// Packages of the agent.
    pub downloads: Arc<Catalog>,
    /// Settings.
    pub settings: Arc<HttpSettings>,
}

impl HttpState {
    /// Puts the parts together.
    pub fn new(app: Arc<App>, settings: HttpSettings) -> Self {
        let is_https = app
            .settings
            .public_url
            .as_deref()
            .is_some_and(|url| url.starts_with("https://"));
        Self {
            accounts: Accounts::new(&app, PasswordHasher::default()),
            sign_ins: RateLimit::new(settings.sign_ins_per_minute),
            registrations: RateLimit::over(REGISTRATIONS, Duration::from_secs(3_600)),
            key_failures: RateLimit::new(settings.key_failures_per_minute),
            writes: RateLimit::new(settings.writes_per_minute),
            anonymous: Anonymous::new(
                settings.anonymous_reads_per_minute,
                settings.anonymous_fresh,
            ),
            sockets: Turns::new(SOCKETS_EACH),
            cookies: Cookies::new(is_https),
            downloads: Arc::new(Catalog::new(settings.downloads_dir.clone())),
            settings: Arc::new(settings),
            app,
        }
    }

    /// Whether people reach this server over HTTPS.
    pub fn is_https(&self) -> bool {
        self.cookies == Cookies::new(true)
    }
}

impl FromRef<HttpState> for Arc<App> {
    fn from_ref(state: &HttpState) -> Self {
        Arc::clone(&state.app)
    }
}

impl FromRef<HttpState> for Accounts {
    fn from_ref(state: &HttpState) -> Self {
        state.accounts.clone()
    }
}
