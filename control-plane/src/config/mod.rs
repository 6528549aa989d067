//! Configuration: one table of settings, filled from a file, then the environment, then flags.
//!
//! Every setting is a line in [`SETTINGS`]; that table names the keys of the file, the variables of the
//! environment and the lines of `.env.example`. Unknown names are refused with the nearest known one. All
//! values are checked before anything is opened.

mod oidc;
mod settings;
mod sources;

pub use settings::{SETTINGS, Setting, example};
pub use sources::{Layers, Source};

use crate::app::{self, Regions};
use crate::http::server::ServerLimits;
use crate::http::{HttpSettings, IpBlock};
use crate::oidc::{IssuerSettings, OidcSettings};
use dgon_control_plane_model::identity::{CosmosChainId, CosmosPrefix, SiteUri, WalletSite};
use dgon_control_plane_store::ReadLimits;
use dgon_control_plane_store::retention::Periods;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML of the form that is wanted.
    #[error("{} is not a configuration: {what}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A name that is no setting.
    #[error("{place}: there is no setting {name:?}{}", hint(nearest.as_deref()))]
    Unknown {
        /// Where it stands.
        place: String,
        /// The name.
        name: String,
        /// The known name that is most like it.
        nearest: Option<String>,
    },
    /// A value that is not one of the setting.
    #[error("{place}: {key} cannot be {value:?}: {rule}")]
    Value {
        /// Where it stands.
        place: String,
        /// The setting.
        key: &'static str,
        /// The value.
        value: String,
        /// What it must be.
        rule: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Everything that can be set.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the server listens.
    pub bind: SocketAddr,
    /// Address that people and agents reach it by.
    pub public_url: Option<String>,
    /// Where the database and the master key are.
    pub data_dir: PathBuf,
    /// The database, where it is not SQLite in the data directory.
    pub database_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpBlock>,
    /// Failed sign-ins per minute and address.
    pub sign_ins_per_minute: u32,
    /// Reads per minute and address of callers who are not signed in; as many ways in that they try, and renewals.
    pub anonymous_reads_per_minute: u32,
    /// Changes per minute that one person may make.
    pub writes_per_minute: u32,
    /// How long all that one question reads may take.
    pub page_within: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Connections open at once.
    pub max_connections: usize,
    /// Connections of one address open at once.
    pub max_connections_per_address: usize,
    /// How long open requests may take to end at a stop.
    pub stop_timeout: Duration,
    /// Chains of the Cosmos SDK whose accounts sign in.
    pub cosmos_chains: Vec<(CosmosChainId, CosmosPrefix)>,
    /// Issuers of OpenID Connect that people can sign in by.
    pub oidc_issuers: Vec<IssuerSettings>,
    /// Folder of the packages that machines may download.
    pub downloads_dir: Option<PathBuf>,
    /// The regions that nodes can be in.
    pub regions: Regions,
    /// How long what was measured and received is kept.
    pub retention: Periods,
    /// How much is logged.
    pub log_level: LevelFilter,
    /// How.
    pub log_format: LogFormat,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The database's URL can hold a password.
        f.debug_struct("Config")
            .field("bind", &self.bind)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Checks and converts the values of all layers.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let seconds = |key| {
            layers
                .number(key, 1, 3_600)
                .map(|s| Duration::from_secs(s.into()))
        };
        let public_url = layers.optional("public_url", check_url)?;
        Ok(Self {
            bind: layers.parse("bind", "an address and port such as 127.0.0.1:8080")?,
            oidc_issuers: oidc_issuers(layers, public_url.as_deref())?,
            public_url,
            data_dir: PathBuf::from(layers.text("data_dir")),
            database_url: layers.optional("database_url", check_database)?,
            trusted_proxies: layers.list("trusted_proxies", |item| item.parse::<IpBlock>())?,
            sign_ins_per_minute: layers.number("sign_ins_per_minute", 1, 10_000)?,
            anonymous_reads_per_minute: layers.number(
                "anonymous_reads_per_minute",
                1,
                1_000_000,
            )?,
            writes_per_minute: layers.number("writes_per_minute", 1, 1_000_000)?,
            page_within: seconds("page_timeout_s")?,
            request_timeout: seconds("request_timeout_s")?,
            max_connections: layers.number("max_connections", 16, 1_000_000)? as usize,
            max_connections_per_address: layers.number(
                "max_connections_per_address",
                8,
                1_000_000,
            )? as usize,
            stop_timeout: seconds("stop_timeout_s")?,
            cosmos_chains: layers.list("cosmos_chains", check_cosmos_chain)?,
            downloads_dir: layers
                .optional("downloads_dir", |text| Ok(text.to_owned()))?
                .map(PathBuf::from),
            regions: Regions::new(layers.list("regions", |item| Ok(item.to_owned()))?)
                .map_err(|rule| layers.wrong("regions", rule))?,
            retention: Periods {
                receipts_days: layers.number("retention.receipts_days", 180, 36_500)?,
                raw_days: layers.number("retention.raw_days", 1, 3_650)?,
                minutes_days: layers.number("retention.minutes_days", 2, 3_650)?,
                sums_days: layers.number("retention.sums_days", 2, 36_500)?,
            },
            log_level: layers.one_of(
                "log.level",
                &[
                    ("error", LevelFilter::ERROR),
                    ("warn", LevelFilter::WARN),
                    ("info", LevelFilter::INFO),
                    ("debug", LevelFilter::DEBUG),
                    ("trace", LevelFilter::TRACE),
                ],
            )?,
            log_format: layers.one_of(
                "log.format",
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )?,
        })
    }

    /// The database to open.
    pub fn database(&self) -> String {
        match &self.database_url {
            Some(url) => url.clone(),
            None => format!("sqlite:{}", self.data_dir.join("dgon.db").display()),
        }
    }

    /// Whether the database would be a file that is not there yet.
    pub fn is_without_database(&self) -> bool {
        self.database_url.is_none() && !self.data_dir.join("dgon.db").exists()
    }

    /// Where people open the console.
    pub fn console_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.clone(),
            None if self.bind.ip().is_unspecified() => {
                format!("http://127.0.0.1:{}", self.bind.port())
            }
            None => format!("http://{}", self.bind),
        }
    }

    /// The address that wallets sign for and issuers send people back to: the one that is set, or none. One that stands on
    /// every machine would let a sign-in be passed on from one server to another.
    fn site(&self) -> Option<SiteUri> {
        let public_url = self.public_url.as_deref();
        public_url.and_then(|url| SiteUri::parse(url).ok())
    }

    /// The settings of the shared state.
    pub fn app_settings(&self) -> app::Settings {
        app::Settings {
            public_url: self.public_url.clone(),
            wallets: Arc::new(WalletSite {
                uri: self.site(),
                cosmos: self.cosmos_chains.clone(),
            }),
            oidc: Arc::new(OidcSettings {
                site: self.site(),
                issuers: self.oidc_issuers.clone(),
                ..OidcSettings::default()
            }),
            regions: self.regions.clone(),
            retention: self.retention,
            ..app::Settings::default()
        }
    }

    /// The limits of the listening socket.
    pub fn server_limits(&self) -> ServerLimits {
        let mut exempt = self.trusted_proxies.clone();
        exempt.extend(IpBlock::loopback());
        ServerLimits {
            max_connections: self.max_connections,
            max_connections_per_address: self.max_connections_per_address,
            exempt,
            stop_timeout: self.stop_timeout,
        }
    }

    /// How long readings of the database may take.
    pub fn read_limits(&self) -> ReadLimits {
        ReadLimits {
            page_within: self.page_within,
            ..ReadLimits::default()
        }
    }

    /// The settings of the HTTP server.
    pub fn http_settings(&self) -> HttpSettings {
        HttpSettings {
            trusted_proxies: self.trusted_proxies.clone(),
            sign_ins_per_minute: self.sign_ins_per_minute,
            anonymous_reads_per_minute: self.anonymous_reads_per_minute,
            writes_per_minute: self.writes_per_minute,
            page_within: self.page_within,
            request_timeout: self.request_timeout,
            downloads_dir: self.downloads_dir.clone(),
            ..HttpSettings::default()
        }
    }
}

fn check_url(text: &str) -> Result<String, String> {
    let rule = || "give an address such as https://dgon.example, without a path".to_owned();
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let authority = rest.ok_or_else(rule)?.trim_end_matches('/');
    if authority.is_empty()
        || authority.contains(|c: char| c == '/' || c == '@' || c.is_whitespace())
    {
        return Err(rule());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The issuers of the file that is named. Issuers that could send nobody back are a mistake, and not to be found at a sign-in.
fn oidc_issuers(
    layers: &Layers,
    public_url: Option<&str>,
) -> Result<Vec<IssuerSettings>, ConfigError> {
    let file = layers.optional("oidc_file", |text| Ok(text.to_owned()))?;
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    if public_url.is_none_or(|url| SiteUri::parse(url).is_err()) {
        let rule = "it needs public_url, the https address that issuers send people back to (http for localhost alone)";
        return Err(layers.wrong("oidc_file", rule.to_owned()));
    }
    oidc::read(&PathBuf::from(file))
}

fn check_cosmos_chain(text: &str) -> Result<(CosmosChainId, CosmosPrefix), String> {
    let rule = || {
        "give the chain's name, a slash and what its addresses begin with, such as cosmoshub-4/cosmos".to_owned()
    };
    let (chain_id, prefix) = text.split_once('/').ok_or_else(rule)?;
    let chain_id = CosmosChainId::parse(chain_id).map_err(|_| rule())?;
    let prefix = CosmosPrefix::parse(prefix).map_err(|_| rule())?;
    Ok((chain_id, prefix))
}

fn check_database(text: &str) -> Result<String, String> {
    let known = ["sqlite:", "postgres:", "postgresql:"];
    if known.iter().any(|scheme| text.starts_with(scheme)) {
        Ok(text.to_owned())
    } else {
        Err("give sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE".to_owned())
    }
}
