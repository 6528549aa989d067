//! The table of all settings.

use crate::app::DEFAULT_REGIONS;

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Name in the file; a dot is a section.
    pub key: &'static str,
    /// Name in the environment.
    pub env: &'static str,
    /// Value where nothing is set; empty for none.
    pub default: &'static str,
    /// What it is, in a line.
    pub meaning: &'static str,
    /// Its value is never shown.
    pub is_secret: bool,
}

const fn setting(
    key: &'static str,
    env: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting {
        key,
        env,
        default,
        meaning,
        is_secret: false,
    }
}

/// All settings, in the order of the documentation.
pub const SETTINGS: [Setting; 23] = [
    setting(
        "bind",
        "DGON_BIND",
        "127.0.0.1:8080",
        "Address and port to listen on. 0.0.0.0:8080 lets other machines in.",
    ),
    setting(
        "public_url",
        "DGON_PUBLIC_URL",
        "",
        "Address that people and agents use, such as https://dgon.example. https makes cookies Secure.",
    ),
    setting(
        "data_dir",
        "DGON_DATA_DIR",
        "data",
        "Folder of the SQLite database and of the master key. Keep it private and backed up.",
    ),
    Setting {
        is_secret: true,
        ..setting(
            "database_url",
            "DATABASE_URL",
            "",
            "postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH. Empty: dgon.db in the data folder.",
        )
    },
    setting(
        "trusted_proxies",
        "DGON_TRUSTED_PROXIES",
        "",
        "Addresses or blocks of reverse proxies whose X-Forwarded-For counts, with commas.",
    ),
    setting(
        "sign_ins_per_minute",
        "DGON_SIGN_INS_PER_MINUTE",
        "10",
        "Failed sign-ins that one address may make in a minute.",
    ),
    setting(
        "anonymous_reads_per_minute",
        "DGON_ANONYMOUS_READS_PER_MINUTE",
        "1200",
        "Reads of the overview that one address may make in a minute without signing in; as many ways in that it tries, and as many sessions that it renews. Not for requests of this machine itself.",
    ),
    setting(
        "writes_per_minute",
        "DGON_WRITES_PER_MINUTE",
        "300",
        "Changes that one signed-in person may make in a minute.",
    ),
    setting(
        "page_timeout_s",
        "DGON_PAGE_TIMEOUT_S",
        "5",
        "Longest time that the database may take for one question of the console or the API, s.",
    ),
    setting(
        "request_timeout_s",
        "DGON_REQUEST_TIMEOUT_S",
        "30",
        "Longest time for an answer, s.",
    ),
    setting(
        "max_connections",
        "DGON_MAX_CONNECTIONS",
        "20000",
        "Connections open at once; more wait.",
    ),
    setting(
        "max_connections_per_address",
        "DGON_MAX_CONNECTIONS_PER_ADDRESS",
        "1024",
        "Connections that one address (IPv6: one /64) may have open; one more is closed. Not for trusted proxies and loopback.",
    ),
    setting(
        "stop_timeout_s",
        "DGON_STOP_TIMEOUT_S",
        "10",
        "Longest time for open requests at a stop, s.",
    ),
    setting(
        "cosmos_chains",
        "DGON_COSMOS_CHAINS",
        "cosmoshub-4/cosmos,osmosis-1/osmo",
        "Chains of the Cosmos SDK whose accounts can sign in, with commas: each its name, / and what its addresses begin with. Not those with Ethereum's keys.",
    ),
    setting(
        "oidc_file",
        "DGON_OIDC_FILE",
        "",
        "YAML file with the issuers of OpenID Connect that people can sign in by: a list of id, name, issuer, client_id and client_secret_file. Needs public_url. Empty: none.",
    ),
    setting(
        "downloads_dir",
        "DGON_DOWNLOADS_DIR",
        "",
        "Folder with packages of the agent, for GET /install.sh and /downloads. Empty: none are offered.",
    ),
    setting(
        "regions",
        "DGON_REGIONS",
        DEFAULT_REGIONS,
        "Regions that nodes can be in, with commas, at most 64: a to z, 0 to 9 and - inside, at most 32 characters each.",
    ),
    setting(
        "retention.receipts_days",
        "DGON_RETENTION_RECEIPTS_DAYS",
        "180",
        "How long receipts are kept, days; 180 at least.",
    ),
    setting(
        "retention.raw_days",
        "DGON_RETENTION_RAW_DAYS",
        "30",
        "How long heartbeats and probes are kept, days.",
    ),
    setting(
        "retention.minutes_days",
        "DGON_RETENTION_MINUTES_DAYS",
        "30",
        "How long sums are kept per minute, days; then they are kept per hour.",
    ),
    setting(
        "retention.sums_days",
        "DGON_RETENTION_SUMS_DAYS",
        "365",
        "How long sums are kept, days.",
    ),
    setting(
        "log.level",
        "DGON_LOG",
        "info",
        "error, warn, info, debug or trace.",
    ),
    setting(
        "log.format",
        "DGON_LOG_FORMAT",
        "text",
        "text for people, json for programs.",
    ),
];

/// The contents of `.env.example`.
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of dgon-control-plane. Order: configuration file, then these variables, then flags.\n\
         # A file is named by --config or DGON_CONTROL_PLANE_CONFIG; its keys are given in brackets.\n",
    );
    for setting in &SETTINGS {
        text.push_str(&format!(
            "\n# {} [{}]\n#{}={}\n",
            setting.meaning, setting.key, setting.env, setting.default
        ));
    }
    text
}
