//! Rules that types alone do not say. All broken rules are told at once.

use super::RuntimeEndpoint;
use super::model::Config;
use crate::runtime::Endpoint;

/// Longest region that receipts carry without being a nuisance, characters.
const REGION_CHARS: usize = 64;
/// Origins that the owner may allow.
const ORIGINS: usize = 32;
/// Runtimes that the owner may name.
const ENDPOINTS: usize = 32;

/// Every rule that `config` breaks, as `key: what it must be`.
pub(super) fn broken_rules(config: &Config) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    rule(
        config.node.region.as_deref().is_none_or(is_region),
        "node.region: must be 1 to 64 characters without control characters",
    );
    let proxy = &config.proxy;
    rule(
        (1..=1024).contains(&proxy.max_body_mib),
        "proxy.max_body_mib: must be 1 to 1024",
    );
    rule(
        proxy.origins.len() <= ORIGINS && proxy.origins.iter().all(|origin| is_origin(origin)),
        "proxy.origins: must be at most 32 entries such as https://chat.example, without a path, or *",
    );
    rule(
        (1..=65_536).contains(&proxy.max_in_flight),
        "proxy.max_in_flight: must be 1 to 65536",
    );
    rule(
        (1..=60_000).contains(&proxy.connect_timeout_ms),
        "proxy.connect_timeout_ms: must be 1 to 60000",
    );
    rule(
        proxy.hosts.len() <= ORIGINS && proxy.hosts.iter().all(|host| is_host(host)),
        "proxy.hosts: must be at most 32 names such as ai.example.org, without a port, or *",
    );
    rule(
        (1..=86_400).contains(&proxy.first_byte_s),
        "proxy.first_byte_s: must be 1 to 86400",
    );
    rule(
        (1..=86_400).contains(&proxy.stall_timeout_s),
        "proxy.stall_timeout_s: must be 1 to 86400",
    );
    rule(proxy.drain_s <= 3_600, "proxy.drain_s: must be 0 to 3600");
    rule(
        (1..=10_000_000).contains(&config.spool.max_receipts),
        "spool.max_receipts: must be 1 to 10000000",
    );
    rule(
        (1..=1_048_576).contains(&config.spool.max_mib),
        "spool.max_mib: must be 1 to 1048576",
    );
    rule(
        config.spool.keep_days <= 3_650,
        "spool.keep_days: must be 0 to 3650",
    );
    rule(
        config
            .owner
            .max_gpu_temp_c
            .is_none_or(|t| (30..=120).contains(&t)),
        "owner.max_gpu_temp_c: must be 30 to 120",
    );
    let log = &config.log;
    rule(
        log.file.as_ref().is_none_or(|file| file.is_absolute()),
        "log.file: must be an absolute path",
    );
    rule(
        (1..=1_024).contains(&log.max_mib),
        "log.max_mib: must be 1 to 1024",
    );
    rule(log.keep <= 100, "log.keep: must be 0 to 100");
    let price = |value: Option<f64>| value.is_none_or(|v| v.is_finite() && v >= 0.0);
    rule(
        price(config.owner.min_profit_usd_per_hour),
        "owner.min_profit_usd_per_hour: must be 0 or more",
    );
    rule(
        price(config.owner.tariff_usd_per_kwh),
        "owner.tariff_usd_per_kwh: must be 0 or more",
    );
    rule(
        config.telemetry.metrics_listen != Some(proxy.listen),
        "telemetry.metrics_listen: must differ from proxy.listen",
    );
    rule(
        config.telemetry.read_gpus || config.owner.max_gpu_temp_c.is_none(),
        "owner.max_gpu_temp_c: cannot be kept while telemetry.read_gpus is false, as nobody reads the temperature",
    );
    rule(
        config.runtimes.endpoints.len() <= ENDPOINTS,
        "runtimes.endpoints: must be at most 32",
    );
    for (i, endpoint) in config.runtimes.endpoints.iter().enumerate() {
        broken.extend(broken_endpoint(i, endpoint, config));
    }
    broken
}

fn broken_endpoint(i: usize, named: &RuntimeEndpoint, config: &Config) -> Vec<String> {
    let mut broken = Vec::new();
    let endpoint = &named.url;
    match Endpoint::parse(&endpoint.to_string()) {
        Err(error) => broken.push(format!("runtimes.endpoints[{i}]: {error}")),
        Ok(there) if there.reaches(config.proxy.listen) => broken.push(format!(
            "runtimes.endpoints[{i}]: is the proxy's own address (proxy.listen), which would go in a circle"
        )),
        Ok(_) => {}
    }
    if named.ca_file.is_some() && !endpoint.is_https() {
        broken.push(format!(
            "runtimes.endpoints[{i}].ca_file: is of use with an https address alone"
        ));
    }
    broken
}

fn is_host(host: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    host == "*" || (!host.is_empty() && host.len() <= 253 && host.chars().all(plain))
}

fn is_origin(origin: &str) -> bool {
    let host = origin.split_once("://").map(|(_, host)| host);
    origin == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', '*']))
}

fn is_region(region: &str) -> bool {
    (1..=REGION_CHARS).contains(&region.chars().count()) && !region.chars().any(char::is_control)
}
