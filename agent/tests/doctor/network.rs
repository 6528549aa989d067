//! Group network: addresses, proxies, names, connections, certificates, WebSockets.

use crate::case::{Case, Mend, Scenario};
use crate::net;
use crate::support::StandIn;
use crate::support::machine::{Machine, SECRET, control_plane};
use dgon_agent::doctor::CheckId;
use dgon_testkit::fault::{FaultProxy, Weather};
use dgon_testkit::link_server::{Script, StubControlPlane};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    (CheckId::NetworkAddress, "none is named", no_address),
    (CheckId::NetworkProxy, "it points nowhere", dead_proxy),
    (CheckId::NetworkProxy, "it is no address", invalid_proxy),
    (CheckId::NetworkProxy, "it is no proxy", no_proxy_there),
    (CheckId::NetworkProxy, "it wants a login", proxy_with_login),
    (
        CheckId::NetworkProxy,
        "it knows another login",
        proxy_with_other_login,
    ),
    (CheckId::NetworkName, "it does not resolve", no_name),
    (CheckId::NetworkConnect, "nobody listens", closed),
    (CheckId::NetworkTls, "the certificate has expired", expired),
    (
        CheckId::NetworkTls,
        "the certificate is of tomorrow",
        not_yet,
    ),
    (
        CheckId::NetworkTls,
        "the certificate is of another host",
        other_host,
    ),
    (CheckId::NetworkTls, "nobody vouches for it", unknown_ca),
    (
        CheckId::NetworkTls,
        "the file of authorities is gone",
        no_ca_file,
    ),
    (CheckId::NetworkTls, "it speaks no TLS", not_tls),
    (
        CheckId::NetworkWebsocket,
        "a gateway lets none through",
        no_websocket,
    ),
    (CheckId::NetworkLatency, "the line is slow", slow_line),
];

#[test]
fn the_way_to_the_control_plane_is_examined_and_mended() {
    crate::case::run(CASES);
}

/// Runs what must live in a runtime as long as the case: one for all cases, never stopped.
pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    })
}

/// A whole control plane: its API as `status` says, and its link.
pub(crate) struct Plane {
    pub(crate) address: SocketAddr,
    pub(crate) api: StandIn,
    pub(crate) link: StubControlPlane,
}

pub(crate) fn whole_plane(status: &'static str) -> Plane {
    let api = control_plane(status);
    let link = StubControlPlane::start("rig-7".parse().unwrap(), &SECRET, Script::default());
    let link = runtime().block_on(link).unwrap();
    Plane {
        address: net::gateway(api.address, link.address()),
        api,
        link,
    }
}

fn configured(machine: &Machine, api: &str) {
    machine.configure(&format!(
        "control_plane:\n  api: {api}\nnode:\n  id: rig-7\n"
    ));
}

fn by_hand(mend: impl FnOnce(&mut Machine) + 'static) -> Mend {
    Mend::ByHand(Box::new(mend))
}

fn no_address() -> Scenario {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    std::fs::remove_file(machine.state.path().join("agent.yaml")).unwrap();
    std::fs::remove_file(machine.state.secret_file()).unwrap();
    let mend = |machine: &mut Machine| configured(machine, "http://127.0.0.1:9");
    Scenario::new(machine, "no control plane is named", by_hand(mend))
}

/// A machine whose control plane can be reached only through the proxy of this variable.
fn behind_proxy(variable: &'static str, value: &str) -> Machine {
    let mut machine = Machine::enrolled("http://plane.example:8080");
    machine.set(variable, value);
    machine
}

fn dead_proxy() -> Scenario {
    let machine = behind_proxy("HTTP_PROXY", &format!("http://{}", net::nowhere()));
    Scenario::new(
        machine,
        "of HTTP_PROXY takes no connection",
        Mend::Shell(Vec::new()),
    )
}

fn invalid_proxy() -> Scenario {
    let machine = behind_proxy("all_proxy", "socks5://me:hunter2@127.0.0.1:1");
    Scenario::new(
        machine,
        "only http:// proxies are supported",
        Mend::Shell(Vec::new()),
    )
}

fn no_proxy_there() -> Scenario {
    let stranger = net::listen(|mut stream| drop(stream.write_all(b"220 mail ready\r\n")));
    let machine = behind_proxy("HTTP_PROXY", &stranger.to_string());
    Scenario::new(machine, "is no HTTP proxy", Mend::Shell(Vec::new()))
}

fn proxy_with_login() -> Scenario {
    let plane = whole_plane("active");
    let proxy = net::proxy(plane.address, Some("me:hunter2"));
    let machine = behind_proxy("HTTP_PROXY", &format!("http://{proxy}"));
    let login = vec![("USER:PASSWORD", "me:hunter2".to_owned())];
    Scenario::new(
        machine,
        "asks for a user and a password",
        Mend::Shell(login),
    )
    .keep(plane)
}

fn proxy_with_other_login() -> Scenario {
    let plane = whole_plane("active");
    let proxy = net::proxy(plane.address, Some("me:hunter2"));
    let machine = behind_proxy("HTTP_PROXY", &format!("http://me:wrong@{proxy}"));
    let login = vec![("USER:PASSWORD", "me:hunter2".to_owned())];
    Scenario::new(
        machine,
        "does not accept its user and password",
        Mend::Shell(login),
    )
    .keep(plane)
}

fn no_name() -> Scenario {
    let plane = whole_plane("active");
    let machine = Machine::enrolled("http://no-such-host.invalid:8080");
    let good = format!("http://localhost:{}", plane.address.port());
    let mend = move |machine: &mut Machine| configured(machine, &good);
    Scenario::new(
        machine,
        "no-such-host.invalid cannot be resolved",
        by_hand(mend),
    )
    .keep(plane)
}

fn closed() -> Scenario {
    let address = net::nowhere();
    let machine = Machine::enrolled(&format!("http://{address}"));
    let mend = move |_: &mut Machine| {
        let listener = std::net::TcpListener::bind(address).unwrap();
        net::serve_on(listener, drop);
    };
    let shown = "curl";
    Scenario::new(
        machine,
        "takes no connection",
        Mend::Shows(shown, Box::new(mend)),
    )
}

/// A machine that trusts the authority of this certificate, at a control plane that shows it.
fn with_certificate(certified: &net::Certified) -> (Machine, Plane) {
    let plane = whole_plane("active");
    let address = net::tls(certified, plane.address);
    let mut machine = Machine::enrolled(&format!("https://localhost:{}", address.port()));
    let file = machine.dir.path().join("ca.pem");
    std::fs::write(&file, &certified.ca_pem).unwrap();
    machine.set("DGON_CONTROL_PLANE_CA_FILE", file.display().to_string());
    (machine, plane)
}

/// The control plane's owner puts a good certificate in place.
fn renewed() -> Mend {
    by_hand(|machine| {
        let (fresh, plane) = with_certificate(&net::certify("localhost", -1..1));
        *machine = fresh;
        machine.residents.push(Box::new(plane));
    })
}

fn expired() -> Scenario {
    let (machine, plane) = with_certificate(&net::certify("localhost", -4..-2));
    Scenario::new(machine, "certificate expired 2 days ago", renewed()).keep(plane)
}

fn not_yet() -> Scenario {
    let (machine, plane) = with_certificate(&net::certify("localhost", 2..4));
    Scenario::new(machine, "is not valid yet; this machine's clock", renewed()).keep(plane)
}

fn other_host() -> Scenario {
    let (machine, plane) = with_certificate(&net::certify("other.example", -1..1));
    Scenario::new(machine, "is of another host (", renewed()).keep(plane)
}

fn unknown_ca() -> Scenario {
    let certified = net::certify("localhost", -1..1);
    let (mut machine, plane) = with_certificate(&certified);
    machine
        .environment
        .retain(|(name, _)| *name != "DGON_CONTROL_PLANE_CA_FILE");
    // Another list of authorities, so that the fix names the file of the owner's own.
    let file = machine.dir.path().join("others.pem");
    std::fs::write(&file, net::certify("x", -1..1).ca_pem).unwrap();
    machine.set("SSL_CERT_FILE", file.display().to_string());
    let words = vec![("CA.pem", "ca.pem".to_owned())];
    let says = "nobody that this agent trusts vouches";
    Scenario::new(machine, says, Mend::Shell(words)).keep(plane)
}

fn no_ca_file() -> Scenario {
    let certified = net::certify("localhost", -1..1);
    let (mut machine, plane) = with_certificate(&certified);
    let good = machine.dir.path().join("ca.pem").display().to_string();
    machine.set("DGON_CONTROL_PLANE_CA_FILE", "/nowhere/ca.pem");
    let mend = move |machine: &mut Machine| machine.set("DGON_CONTROL_PLANE_CA_FILE", good);
    let fix = Mend::Shows("/nowhere/ca.pem", Box::new(mend));
    Scenario::new(machine, "ca_file (/nowhere/ca.pem) cannot be read", fix).keep(plane)
}

fn not_tls() -> Scenario {
    let plane = whole_plane("active");
    // As web servers answer what is no HTTP.
    let server = net::listen(|mut stream| {
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
        drop(stream.read(&mut [0; 1024]));
    });
    let machine = Machine::enrolled(&format!("https://{server}"));
    let good = format!("http://{}", plane.address);
    let mend = move |machine: &mut Machine| configured(machine, &good);
    Scenario::new(machine, "does not speak TLS", by_hand(mend)).keep(plane)
}

fn no_websocket() -> Scenario {
    let plane = whole_plane("active");
    let gateway = StandIn::start(|_| (400, "no upgrades here".to_owned()));
    let narrow = net::gateway(plane.api.address, gateway.address);
    let machine = Machine::enrolled(&format!("http://{narrow}"));
    let good = format!("http://{}", plane.address);
    let mend = move |machine: &mut Machine| configured(machine, &good);
    let says = "may pass HTTP and no WebSocket";
    Scenario::new(machine, says, Mend::Shows("400", Box::new(mend))).keep((plane, gateway))
}

fn slow_line() -> Scenario {
    let plane = whole_plane("active");
    let line = runtime()
        .block_on(FaultProxy::start(plane.address))
        .unwrap();
    line.set(Weather {
        delay: Duration::from_millis(400),
        ..Weather::default()
    });
    let machine = Machine::enrolled(&format!("http://{}", line.address()));
    let mend = move |machine: &mut Machine| {
        line.set(Weather::default());
        machine.residents.push(Box::new(line));
    };
    Scenario::new(
        machine,
        "ms; the control plane is far away or busy",
        by_hand(mend),
    )
    .keep(plane)
}

#[test]
fn a_trusted_certificate_and_a_proxy_lead_to_a_whole_report() {
    let certified = net::certify("plane.example", -1..1);
    let plane = whole_plane("active");
    let front = net::tls(&certified, plane.address);
    let proxy = net::proxy(front, Some("me:p@ss"));
    let mut machine = Machine::enrolled("https://plane.example");
    let file = machine.dir.path().join("ca.pem");
    std::fs::write(&file, &certified.ca_pem).unwrap();
    machine.set("SSL_CERT_FILE", file.display().to_string());
    machine.set("HTTPS_PROXY", format!("http://me:p%40ss@{proxy}"));
    let report = machine.report();
    for (id, says) in [
        ("network.proxy", "of HTTPS_PROXY"),
        ("network.tls", "SSL_CERT_FILE"),
        ("network.websocket", "upgraded and challenged"),
        ("control_plane.credentials", "accepted as rig-7"),
    ] {
        let (outcome, finding, _) = crate::case::worst(&report, id);
        assert_eq!(outcome, "ok", "{id}: {finding}");
        assert!(finding.contains(says), "{id}: {finding}");
    }
    let text = report.to_string();
    assert!(!text.contains("p%40ss") && !text.contains("p@ss"), "{text}");
}
