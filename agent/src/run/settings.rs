//! What the configuration and the identity mean for each part.

use super::{FLUSH_WITHIN, STOP_BEYOND_DRAIN};
use crate::config::{BaseUrl, Config};
use crate::gpu::EnergyMeter;
use crate::host;
use crate::identity::Identity;
use crate::link::LinkSettings;
use crate::mode::ModeSwitch;
use crate::net::Network;
use crate::open_files::{self, Share};
use crate::proxy::Settings;
use crate::runtime::{AccessError, Endpoint, RegistrySettings};
use dgon_agent_core::link::Backoff;
use dgon_agent_core::spool::Limits;
use dgon_protocol::frame::LINK_PATH;
use std::sync::Arc;
use std::time::Duration;

/// How long a stop may take.
pub(super) fn stop_within(config: &Config) -> Duration {
    Duration::from_secs(config.proxy.drain_s) + STOP_BEYOND_DRAIN
}

/// What the spool may hold.
pub(super) fn spool_limits(config: &Config) -> Limits {
    Limits {
        keep_s: u64::from(config.spool.keep_days) * 24 * 3600,
        ..Limits::new(config.spool.max_receipts, config.spool.max_bytes())
    }
}

/// Where the node says it is: as configured, else as enrolled.
pub(super) fn region(config: &Config, identity: &Identity) -> Option<String> {
    config
        .node
        .region
        .clone()
        .or_else(|| Some(identity.enrolment.region.clone()))
        .filter(|region| !region.is_empty())
}

/// Where to look for runtimes, and what never is one: the proxy itself and the control plane.
///
/// # Errors
/// The file with the key or the certificates of an endpoint cannot be used.
pub(crate) fn registry_settings(
    config: &Config,
    control_plane: Option<&BaseUrl>,
) -> Result<RegistrySettings, AccessError> {
    let endpoints = config
        .runtimes
        .endpoints
        .iter()
        .map(|named| named.open())
        .collect::<Result<_, _>>()?;
    Ok(RegistrySettings {
        endpoints,
        detect: config.runtimes.detect,
        proxy: Some(config.proxy.listen),
        control_plane: control_plane.map(|api| Endpoint::new(api.host(), api.port())),
        ..RegistrySettings::default()
    })
}

/// How the proxy serves.
pub(super) fn proxy_settings(
    config: &Config,
    identity: &Identity,
    mode: ModeSwitch,
    energy: Option<EnergyMeter>,
) -> Settings {
    let proxy = &config.proxy;
    let mib = usize::try_from(proxy.max_body_mib).unwrap_or(usize::MAX);
    let share = open_files(config);
    Settings {
        hosts: proxy.hosts.clone(),
        origins: proxy.origins.clone(),
        mode,
        max_in_flight: proxy.max_in_flight,
        max_connections: share.connections,
        max_idle_upstream: share.idle_upstream,
        max_body_bytes: mib.saturating_mul(1024 * 1024),
        connect_timeout: Duration::from_millis(proxy.connect_timeout_ms),
        first_byte_timeout: Duration::from_secs(proxy.first_byte_s),
        stall_timeout: Duration::from_secs(proxy.stall_timeout_s),
        drain_timeout: Duration::from_secs(proxy.drain_s),
        energy: energy.map(|meter| Arc::new(meter) as Arc<dyn crate::proxy::settings::EnergyMeter>),
        ..Settings::with_hash_key(*identity.prompt_hash_key())
    }
}

/// What clients may take of the files that this process may open; said where it is less than the configuration asks.
fn open_files(config: &Config) -> Share {
    let endpoints = config.runtimes.endpoints.len() + Endpoint::defaults().len();
    let share = Share::of(open_files::raise_limit(), endpoints);
    if let Some(limit) = share.limit
        && (share.connections as u64) < u64::from(config.proxy.max_in_flight)
    {
        tracing::warn!(
            limit,
            connections = share.connections,
            max_in_flight = config.proxy.max_in_flight,
            "this process may open {limit} files, so that {} clients are served at once, fewer than \
             proxy.max_in_flight; raise the limit (`ulimit -n`, LimitNOFILE)",
            share.connections
        );
    }
    share
}

/// The address that enrolment went through is known to work, so it wins over the one that the control plane
/// thinks it has.
pub(crate) fn link_settings(config: &Config, identity: &Identity) -> LinkSettings {
    let url = config.control_plane.api.as_ref().map_or_else(
        || identity.enrolment.link_url.clone(),
        |api| {
            let scheme = if api.is_https() { "wss" } else { "ws" };
            format!("{scheme}://{}{}", api.authority(), api.path_of(LINK_PATH))
        },
    );
    LinkSettings {
        url,
        node_id: identity.node_id().clone(),
        key: identity.key.clone(),
        secret: identity.enrolment.secret.as_bytes().into(),
        allow: config.allow.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: host::boot_id(),
        flush_within: FLUSH_WITHIN,
        backoff: Backoff::default(),
        network: Network::from_environment(config.control_plane.ca_file.as_deref()),
    }
}
