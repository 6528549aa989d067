//! Groups `network`, `clock` and `control_plane`: name, connection, encryption, clock, credentials and status, each
//! step only after the one before it.

use super::chain;
use crate::api::{Answer, Api, ApiError};
use crate::config::BaseUrl;
use crate::doctor::{Check, Patient};
use crate::net::Network;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::LifecycleStatus;
use dgon_protocol::limits::CLOCK_SKEW;
use dgon_protocol::node::{NodeSelf, SELF_PATH};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpStream;
use tokio::time::timeout;

const GROUP: &str = "network";
const NAME: Duration = Duration::from_millis(1_000);
const CONNECT: Duration = Duration::from_millis(1_000);
const ANSWER: Duration = Duration::from_millis(1_800);
/// Drift from which a person should know, well below what requests are refused for.
const DRIFT_WARN: Duration = Duration::from_secs(15);

pub(in crate::doctor) async fn check(patient: Arc<Patient>) -> Vec<Check> {
    let address = Check::new(GROUP, "address", "control_plane.api");
    if patient.config.is_err() {
        return vec![address.skip("the configuration cannot be read")];
    }
    let Some(api) = &patient.api() else {
        return vec![address.warn(
            "no control plane is named: requests are metered and receipts kept, but nobody gets them",
            patient.enrol_command(),
        )];
    };
    let mut checks = vec![
        address.ok(&format!("the control plane is {api}")),
        proxies(api),
    ];
    let (check, addresses) = name(api).await;
    checks.push(check);
    if addresses.is_empty() {
        return checks;
    }
    let (check, connected) = connect(api, &addresses).await;
    checks.push(check);
    if connected {
        checks.push(encryption(api, &addresses));
        checks.extend(ask(api, &patient).await);
    }
    checks
}

/// The link is a plain connection: a machine that reaches the world only through a proxy cannot keep one.
fn proxies(api: &BaseUrl) -> Check {
    let check = Check::new(GROUP, "proxy_variables", "HTTP(S)_PROXY and ALL_PROXY");
    let names = if api.is_https() {
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    };
    let is_set = |name: &&&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match names.iter().find(is_set) {
        None => check.ok("no proxy stands between this machine and the control plane"),
        Some(name) => check.warn(
            &format!("{name} is set, but the link to the control plane connects directly"),
            Some(format!("unset {name}")),
        ),
    }
}

async fn name(api: &BaseUrl) -> (Check, Vec<SocketAddr>) {
    let check = Check::new(GROUP, "name", api.host());
    let began = Instant::now();
    if let Ok(ip) = api.host().parse::<IpAddr>() {
        let address = SocketAddr::new(ip, api.port());
        return (check.ok("an address needs no name service"), vec![address]);
    }
    let fix = || Some(format!("getent hosts {}", api.host()));
    match timeout(NAME, tokio::net::lookup_host((api.host(), api.port()))).await {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.collect();
            let finding = format!(
                "{} addresses in {} ms",
                found.len(),
                began.elapsed().as_millis()
            );
            (check.ok(&finding), found)
        }
        Ok(Err(error)) => {
            let finding = format!("the name of the control plane is not found: {error}");
            (check.fail(&finding, fix()), Vec::new())
        }
        Err(_) => (
            check.fail("the name service does not answer within 1 s", fix()),
            Vec::new(),
        ),
    }
}

async fn connect(api: &BaseUrl, addresses: &[SocketAddr]) -> (Check, bool) {
    let check = Check::new(GROUP, "connect", api.authority());
    let began = Instant::now();
    let fix = Some(format!("curl -v {}", api.at("/healthz")));
    match timeout(CONNECT, TcpStream::connect(addresses)).await {
        Ok(Ok(_)) => {
            let finding = format!("connected in {} ms", began.elapsed().as_millis());
            (check.ok(&finding), true)
        }
        Ok(Err(error)) => {
            let finding = format!("the control plane does not take connections: {error}");
            (check.fail(&finding, fix), false)
        }
        Err(_) => (
            check.fail(
                "no answer to a connection within 1 s; a firewall may drop it",
                fix,
            ),
            false,
        ),
    }
}

/// Whether TLS itself works shows in the answers below; here it is said where there is none.
fn encryption(api: &BaseUrl, addresses: &[SocketAddr]) -> Check {
    let check = Check::new(GROUP, "encryption", api.authority());
    if api.is_https() {
        check.ok("the connection is encrypted and the server proves its name")
    } else if addresses.iter().all(|address| address.ip().is_loopback()) {
        check.ok("the control plane is on this machine; nothing leaves it")
    } else {
        check.warn(
            "the connection is not encrypted: others on the way can read what the node reports",
            Some(format!("dgon-agent run --api https://{}", api.host())),
        )
    }
}

/// Asks as this node: the answer tells of clock, credentials and status at once.
async fn ask(api: &BaseUrl, patient: &Patient) -> Vec<Check> {
    let clock = Check::new(
        "clock",
        "drift",
        "this machine's clock against the control plane's",
    );
    let access = Check::new(
        "control_plane",
        "credentials",
        "the node's credentials, by a signed request",
    );
    let status = Check::new(
        "control_plane",
        "status",
        "the node's status at the control plane",
    );
    let Ok(enrolment) = &patient.enrolment else {
        let why = "this machine is not enrolled";
        return vec![clock.skip(why), access.skip(why), status.skip(why)];
    };
    let asked = async {
        Api::new(api.clone(), Network::default())
            .get_as_node::<NodeSelf>(SELF_PATH, enrolment)
            .await
    };
    let answer = match timeout(ANSWER, asked).await {
        Ok(answer) => answer,
        Err(_) => {
            let why = "the control plane takes connections, but does not answer within 1.8 s";
            return vec![clock.skip(why), access.fail(why, None), status.skip(why)];
        }
    };
    match answer {
        Ok(Answer { body, date }) => vec![
            drift(clock, date),
            access.ok(&format!("accepted as {}", body.node_id)),
            standing(patient, status, &body),
        ],
        Err(error) => {
            let date = error.date();
            let why = "the control plane did not say";
            vec![
                drift(clock, date),
                refused(access, &error),
                status.skip(why),
            ]
        }
    }
}

fn drift(check: Check, server: Option<SystemTime>) -> Check {
    let Some(server) = server else {
        return check.skip("the control plane did not tell its time");
    };
    let now = SystemTime::now();
    let (drift, direction) = match now.duration_since(server) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let seconds = drift.as_secs();
    if drift > CLOCK_SKEW {
        check.fail(
            &format!(
                "this machine's clock is {seconds} s {direction} the control plane's; requests are refused from \
                 {} s on",
                CLOCK_SKEW.as_secs()
            ),
            Some(set_clock()),
        )
    } else if drift > DRIFT_WARN {
        check.warn(
            &format!("this machine's clock is {seconds} s {direction} the control plane's"),
            Some(set_clock()),
        )
    } else {
        check.ok("within a few seconds of the control plane's")
    }
}

fn set_clock() -> String {
    match std::env::consts::OS {
        "macos" => "sudo sntp -sS time.apple.com",
        "windows" => "w32tm /resync",
        _ => "sudo timedatectl set-ntp true",
    }
    .to_owned()
}

fn refused(check: Check, error: &ApiError) -> Check {
    let ApiError::Refused { detail, .. } = error else {
        return check.fail(&chain(error), None);
    };
    match detail.kind {
        ErrorType::StaleTimestamp => check.fail(
            "the control plane refuses requests with this machine's time",
            Some(set_clock()),
        ),
        ErrorType::Unauthorized | ErrorType::Forbidden => check.fail(
            &format!(
                "the control plane does not accept this node's secret: {}; the node may have been removed, or \
                 the state directory is of another network",
                detail.message
            ),
            Some("dgon-agent enroll --api URL --state-dir NEW_DIRECTORY".to_owned()),
        ),
        ErrorType::NotFound => check.skip("this control plane is too old to be asked"),
        _ => check.fail(&chain(error), None),
    }
}

fn standing(patient: &Patient, check: Check, node: &NodeSelf) -> Check {
    let reason = if node.status_reason.is_empty() {
        String::new()
    } else {
        format!(": {}", node.status_reason)
    };
    match node.status {
        LifecycleStatus::Active => check.ok("the node is active"),
        LifecycleStatus::Pending => check.warn(
            &format!("the node is pending{reason}; it becomes active when its first probe passes"),
            patient.command("status"),
        ),
        LifecycleStatus::Offline => check.warn(
            &format!("the control plane takes the node for offline{reason}"),
            patient.command("run"),
        ),
        LifecycleStatus::Quarantine => check.fail(
            &format!(
                "the node is in quarantine{reason}; only a person of the network can release it"
            ),
            None,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn plain_http_is_fine_on_this_machine_and_nowhere_else() {
        let outcome = |api: &str, address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            encryption(&BaseUrl::parse(api).unwrap(), &[address]).outcome
        };
        assert_eq!(
            outcome("http://localhost:8080", "127.0.0.1:8080"),
            Outcome::Ok
        );
        assert_eq!(
            outcome("http://plane:8080", "192.0.2.7:8080"),
            Outcome::Warn
        );
        assert_eq!(outcome("https://plane", "192.0.2.7:443"), Outcome::Ok);
    }

    #[test]
    fn drift_is_judged_in_both_directions() {
        let outcome =
            |server: SystemTime| drift(Check::new("clock", "drift", "-"), Some(server)).outcome;
        let now = SystemTime::now();
        for (seconds, expected) in [(3, Outcome::Ok), (60, Outcome::Warn), (200, Outcome::Fail)] {
            assert_eq!(outcome(now + Duration::from_secs(seconds)), expected);
            assert_eq!(outcome(now - Duration::from_secs(seconds)), expected);
        }
    }
}
