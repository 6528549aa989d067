//! Group `network`: address, proxy, name, connection and encryption, each step only after the one before it; then
//! what answers ([`super::plane`]) and the link's WebSocket ([`super::websocket`]) at once.

use super::{HERE, chain, config, plane, websocket};
use crate::config::BaseUrl;
use crate::doctor::examine::{Examination, Reporter};
use crate::doctor::{Check, CheckId, Subject};
use crate::net::{
    self, ConnectError, Proxy, ProxyError, Stream, Target, TlsFault, TrustError, TrustSource,
};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long all of it may take.
const ALL: Duration = Duration::from_millis(4_400);
const NAME: Duration = Duration::from_millis(1_000);
const CONNECT: Duration = Duration::from_millis(1_000);
const TUNNEL: Duration = Duration::from_millis(1_800);
const TLS: Duration = Duration::from_millis(1_000);
/// Where systems keep the certificates that their administrator trusts.
const SYSTEM_STORES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::ClockDrift,
        CheckId::NetworkAddress,
        CheckId::NetworkProxy,
        CheckId::NetworkName,
        CheckId::NetworkConnect,
        CheckId::NetworkTls,
        CheckId::NetworkWebsocket,
        CheckId::NetworkLatency,
        CheckId::ControlPlaneAnswer,
        CheckId::ControlPlaneCredentials,
        CheckId::ControlPlaneStatus,
    ],
    run: |subject, reporter| Box::pin(check(subject, reporter)),
};

async fn check(subject: Arc<Subject>, reporter: Reporter) {
    let end = Instant::now() + ALL;
    let address = Check::new(CheckId::NetworkAddress, "control_plane.api");
    if subject.config.is_err() {
        return reporter.rest("the configuration cannot be read");
    }
    let Some(api) = subject.api() else {
        reporter.tell(address.warn(
            "no control plane is named: requests are metered and receipts kept, but nobody gets them",
            subject.enrol_command(),
        ));
        return reporter.rest("no control plane is named");
    };
    reporter.tell(address.ok(format!("the control plane is {api}")));
    let Some(tcp) = reach(&subject, &api, &reporter).await else {
        return reporter.rest("there is no connection to the control plane");
    };
    let Some(stream) = secure(&subject, &api, tcp, &reporter).await else {
        return reporter.rest("there is no encrypted connection to the control plane");
    };
    tokio::join!(
        plane::ask(&subject, &api, stream, &reporter),
        websocket::handshake(&subject, &api, &reporter, end),
    );
}

async fn reach(subject: &Subject, api: &BaseUrl, reporter: &Reporter) -> Option<TcpStream> {
    let check = Check::new(
        CheckId::NetworkProxy,
        "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
    );
    match subject.network.proxy_for(api.target()) {
        Ok(None) => {
            reporter.tell(check.ok("no proxy stands between this machine and the control plane"));
            reach_directly(api, reporter).await
        }
        Ok(Some(proxy)) => reach_through(check, proxy, api, reporter).await,
        Err(error) => {
            reporter.tell(proxy_fault(check, &error, api.target()));
            None
        }
    }
}

async fn reach_through(
    check: Check,
    proxy: &Proxy,
    api: &BaseUrl,
    reporter: &Reporter,
) -> Option<TcpStream> {
    match timeout(TUNNEL, proxy.tunnel(api.target())).await {
        Ok(Ok(tcp)) => {
            reporter.tell(check.ok(format!("through {proxy}")));
            let name = Check::new(CheckId::NetworkName, api.host());
            reporter.tell(name.skip("the proxy finds the control plane's address"));
            let connect = Check::new(CheckId::NetworkConnect, api.authority());
            reporter.tell(connect.ok("the proxy has made a tunnel"));
            Some(tcp)
        }
        Ok(Err(error)) => {
            reporter.tell(proxy_fault(check, &error, api.target()));
            None
        }
        Err(_) => {
            let finding = format!("{proxy} makes no tunnel within 1.8 s");
            reporter.tell(check.fail(finding, HERE.unset_variable(proxy.variable)));
            None
        }
    }
}

fn proxy_fault(check: Check, error: &ProxyError, target: &Target) -> Check {
    let finding = chain(error);
    match error {
        ProxyError::Invalid { variable, .. } => check.fail(finding, HERE.unset_variable(variable)),
        ProxyError::Unreachable { proxy, .. } | ProxyError::NotAProxy { proxy } => check.fail(
            format!("{finding}; unset it where no proxy is needed"),
            HERE.unset_variable(proxy.variable),
        ),
        ProxyError::Login { proxy, .. } => check.fail(
            finding,
            HERE.set_variable(
                proxy.variable,
                &format!("http://USER:PASSWORD@{}", proxy.target()),
            ),
        ),
        ProxyError::Refused { .. } => check.fail(
            format!("{finding}; its owner must allow it, or the way goes around it"),
            HERE.set_variable("NO_PROXY", &target.host),
        ),
    }
}

async fn reach_directly(api: &BaseUrl, reporter: &Reporter) -> Option<TcpStream> {
    let addresses = resolve(api, reporter).await?;
    let check = Check::new(CheckId::NetworkConnect, api.authority());
    let fix = HERE.get_with_steps(&api.at("/healthz"));
    let began = Instant::now();
    match timeout(CONNECT, net::connect_to_any(api.target(), &addresses)).await {
        Ok(Ok(tcp)) => {
            reporter.tell(check.ok(format!("connected in {} ms", began.elapsed().as_millis())));
            Some(tcp)
        }
        Ok(Err(error)) => {
            reporter.tell(check.fail(
                format!(
                    "{}; the control plane is down, or the port is wrong",
                    chain(&error)
                ),
                fix,
            ));
            None
        }
        Err(_) => {
            reporter.tell(check.fail(
                "no answer to a connection within 1 s; the machine is off, or a firewall drops what is sent to it",
                fix,
            ));
            None
        }
    }
}

async fn resolve(api: &BaseUrl, reporter: &Reporter) -> Option<Vec<SocketAddr>> {
    let check = Check::new(CheckId::NetworkName, api.host());
    if let Ok(ip) = api.host().parse::<IpAddr>() {
        reporter.tell(check.ok("an address needs no name service"));
        return Some(vec![SocketAddr::new(ip, api.port())]);
    }
    let began = Instant::now();
    match timeout(NAME, net::resolve(api.target())).await {
        Ok(Ok(found)) => {
            let took = began.elapsed().as_millis();
            reporter.tell(check.ok(format!("{} addresses in {took} ms", found.len())));
            Some(found)
        }
        Ok(Err(error)) => {
            reporter.tell(check.fail(
                format!(
                    "{}; the name is wrong, or the name service is gone",
                    chain(&error)
                ),
                HERE.resolve(api.host()),
            ));
            None
        }
        Err(_) => {
            reporter.tell(check.fail(
                "the name service does not answer within 1 s",
                HERE.name_servers(),
            ));
            None
        }
    }
}

async fn secure(
    subject: &Subject,
    api: &BaseUrl,
    tcp: TcpStream,
    reporter: &Reporter,
) -> Option<Stream> {
    let check = Check::new(CheckId::NetworkTls, api.authority());
    if !api.is_https() {
        let peer = tcp.peer_addr().ok().map(|peer| peer.ip());
        let fix = config::use_https(subject, api);
        reporter.tell(plain(check, api, peer, fix));
        return Some(Stream::Plain(tcp));
    }
    match timeout(TLS, subject.network.secure(tcp, api.target())).await {
        Ok(Ok(stream)) => {
            reporter.tell(check.ok(format!(
                "encrypted, and {} vouch for the server's name",
                subject.network.trust().source()
            )));
            Some(stream)
        }
        Ok(Err(error)) => {
            reporter.tell(tls_fault(check, &error, subject, api));
            None
        }
        Err(_) => {
            reporter.tell(check.fail(
                "the server takes the connection, but does not answer the TLS handshake within 1 s",
                look_at_certificate(api),
            ));
            None
        }
    }
}

fn plain(check: Check, api: &BaseUrl, peer: Option<IpAddr>, fix: String) -> Check {
    if peer.is_some_and(|ip| ip.is_loopback()) && api.target().is_this_machine() {
        check.ok("the control plane is on this machine; nothing leaves it")
    } else {
        check.warn(
            "the connection is not encrypted: others on the way can read what the node reports",
            fix,
        )
    }
}

fn look_at_certificate(api: &BaseUrl) -> String {
    HERE.show_certificate(api.host(), api.port())
}

fn tls_fault(check: Check, error: &ConnectError, subject: &Subject, api: &BaseUrl) -> Check {
    let finding = chain(error);
    let look = look_at_certificate(api);
    match error {
        ConnectError::Trust(error) => trust_fault(check, error, subject),
        ConnectError::Tls { fault, .. } => match fault {
            TlsFault::Expired { .. } => check.fail(
                format!(
                    "{finding}; if this machine's clock is right, the control plane's owner must renew it"
                ),
                format!("{}; {look}", HERE.show_clock()),
            ),
            TlsFault::NotYetValid => check.fail(
                format!("{finding}; this machine's clock is most likely behind"),
                HERE.set_clock(),
            ),
            TlsFault::WrongHost { .. } => check.fail(
                format!(
                    "{finding}; the address is wrong, or something in between answers for it, such as the \
                     sign-in page of a network (captive portal)"
                ),
                look,
            ),
            TlsFault::UnknownIssuer => check.fail(
                format!(
                    "{finding}; it is signed by a private authority, or something in between reads along, such \
                     as a company's TLS proxy or a captive portal"
                ),
                trust_more(),
            ),
            TlsFault::NotTls => check.fail(
                format!("{finding}; the address may have to begin with http://"),
                HERE.get_with_steps(&format!("http://{}/healthz", api.authority())),
            ),
            TlsFault::Closed | TlsFault::Other(_) => check.fail(finding, look),
        },
        ConnectError::Name { .. } | ConnectError::Tcp { .. } | ConnectError::Proxy(_) => {
            check.fail(finding, look)
        }
    }
}

/// How to trust a certificate authority of one's own: the system's store where there is one, else a file.
fn trust_more() -> String {
    let store = SYSTEM_STORES.iter().find(|file| Path::new(file).is_file());
    match store {
        Some(file) if std::env::var_os("SSL_CERT_FILE").is_none() => {
            format!(
                "{}  # or control_plane.ca_file with your authority's PEM file",
                HERE.set_variable("SSL_CERT_FILE", file)
            )
        }
        _ => HERE.set_variable("DGON_CONTROL_PLANE_CA_FILE", "CA.pem"),
    }
}

fn trust_fault(check: Check, error: &TrustError, subject: &Subject) -> Check {
    let fix = match subject.network.trust().source() {
        TrustSource::Environment(_) => HERE.unset_variable("SSL_CERT_FILE"),
        TrustSource::Configured(file) => HERE
            .shell()
            .both(&HERE.show_owner(file), &HERE.first_line(file)),
        TrustSource::BuiltIn => subject.bundle_command(),
    };
    check.fail(chain(error), fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn plain_http_is_fine_on_this_machine_and_nowhere_else() {
        let outcome = |api: &str, peer: &str| {
            let check = Check::new(CheckId::NetworkTls, "-");
            let api = BaseUrl::parse(api).unwrap();
            plain(check, &api, Some(peer.parse().unwrap()), "-".to_owned()).outcome
        };
        assert_eq!(outcome("http://localhost:8080", "127.0.0.1"), Outcome::Ok);
        assert_eq!(outcome("http://plane:8080", "192.0.2.7"), Outcome::Warn);
        // A proxy on this machine leads elsewhere.
        assert_eq!(outcome("http://plane:8080", "127.0.0.1"), Outcome::Warn);
    }
}
