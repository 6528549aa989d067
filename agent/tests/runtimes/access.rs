//! Runtimes behind TLS and API keys: found, asked with the owner's key, and reached by the proxy, which passes the
//! client's own credentials and no other.

use super::support::*;
use dgon_agent::proxy::{Proxy, ReceiptSink, Settings};
use dgon_agent::runtime::{
    Endpoint, NamedEndpoint, RegistrySettings, RuntimeKind, discover, load_access, watch_endpoints,
};
use dgon_agent_core::facts::RequestFacts;
use dgon_protocol::frame::{Probe, ProbeOutcome};
use dgon_protocol::id::RequestId;
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const KEY: &str = "sk-of-the-owner";

fn pem(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/runtimes/tls")
        .join(file)
}

/// A server that speaks TLS and passes what it hears to `behind`.
async fn tls_before(behind: SocketAddr) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_file(pem("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pem("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us leaves here.
                let Ok(mut client) = acceptor.accept(stream).await else {
                    return;
                };
                let mut server = TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    addr
}

fn settings(endpoint: Endpoint, key: Option<&Path>, ca: Option<&Path>) -> RegistrySettings {
    let access = load_access(&endpoint, key, ca).unwrap();
    RegistrySettings {
        endpoints: vec![NamedEndpoint {
            endpoint,
            kind: None,
            access,
        }],
        ..only(&[])
    }
}

fn key_file(dir: &tempfile::TempDir, key: &str) -> PathBuf {
    let path = dir.path().join("key");
    std::fs::write(&path, format!("{key}\n")).unwrap();
    path
}

async fn closed_sim(kind: Kind) -> SimRuntime {
    let mut config = SimConfig::new(kind);
    config.api_key = Some(KEY.to_owned());
    SimRuntime::start(config).await.unwrap()
}

/// Keeps what it gets.
#[derive(Default)]
struct Facts {
    all: Mutex<Vec<RequestFacts>>,
    ids: AtomicU64,
}

impl ReceiptSink for Facts {
    fn room(&self) -> Result<u64, dgon_agent::proxy::SinkError> {
        Ok(u64::MAX)
    }

    fn full(&self) -> dgon_agent::proxy::SinkError {
        dgon_agent::proxy::SinkError::Closed
    }

    fn next_request_id(&self) -> RequestId {
        RequestId::generate(0, u128::from(self.ids.fetch_add(1, Ordering::Relaxed)))
    }

    fn record(
        &self,
        facts: RequestFacts,
    ) -> BoxFuture<'_, Result<u64, dgon_agent::proxy::SinkError>> {
        self.all.lock().unwrap().push(facts);
        Box::pin(async { Ok(1) })
    }
}

/// A proxy over what `settings` find; its address.
async fn proxy_over(settings: RegistrySettings) -> (Arc<Proxy>, SocketAddr) {
    let registry = watch_endpoints(settings);
    until(&registry, |found| !found.is_empty()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let proxy = Proxy::new(
        registry,
        Arc::new(Facts::default()),
        Settings::with_hash_key([0; 32]),
    );
    tokio::spawn(Arc::clone(&proxy).serve(listener, Default::default()));
    (proxy, addr)
}

async fn ask(proxy: SocketAddr, model: &str, headers: &str) -> String {
    let body = format!(
        "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}"
    );
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_key_opens_the_list_of_models_and_is_for_the_agents_own_questions_alone() {
    let dir = tempfile::tempdir().unwrap();
    for kind in [Kind::Vllm, Kind::LlamaCpp] {
        let sim = closed_sim(kind).await;
        let endpoint = Endpoint::new("127.0.0.1", sim.addr().port());
        let without = discover(&settings(endpoint.clone(), None, None))
            .await
            .remove(0);
        assert!(without.asks_for_key && without.models.is_empty(), "{kind}");
        let wrong = key_file(&dir, "sk-wrong");
        let refused = discover(&settings(endpoint.clone(), Some(&wrong), None)).await;
        assert!(refused[0].asks_for_key, "{kind}");
        let right = key_file(&dir, KEY);
        let settings = settings(endpoint, Some(&right), None);
        let found = discover(&settings).await.remove(0);
        assert!(!found.asks_for_key && !found.models.is_empty(), "{kind}");
        assert!(
            !format!("{found:?} {settings:?}").contains(KEY),
            "{kind}: no secret is shown"
        );

        // A client brings its own key; the owner's is not lent to it.
        let (proxy, addr) = proxy_over(settings).await;
        let model = found.models[0].id.clone();
        let stranger = ask(addr, &model, "").await;
        assert!(stranger.starts_with("HTTP/1.1 401"), "{kind}: {stranger}");
        let known = ask(addr, &model, &format!("Authorization: Bearer {KEY}\r\n")).await;
        assert!(known.starts_with("HTTP/1.1 200"), "{kind}: {known}");
        assert!(!stranger.contains(KEY) && !known.contains(KEY));
        // The control plane's probe has no client, so it has the owner's key.
        let served = proxy
            .begin_probe(Probe {
                probe_id: "p1".to_owned(),
                request_id: RequestId::generate(1, 1),
                model: Some(model),
                prompt: "hi".to_owned(),
                max_tokens: 2,
                timeout_ms: 10_000,
            })
            .unwrap();
        let probe = served.await;
        assert_eq!(probe.outcome, ProbeOutcome::Ok, "{kind}: {probe:?}");
    }
}

#[tokio::test]
async fn a_runtime_behind_tls_is_found_and_reached_where_its_certificate_is_vouched_for() {
    let dir = tempfile::tempdir().unwrap();
    let sim = closed_sim(Kind::Vllm).await;
    let addr = tls_before(sim.addr()).await;
    let endpoint = Endpoint::new("localhost", addr.port()).over_tls();
    let key = key_file(&dir, KEY);
    let ca = pem("ca.pem");
    let trusted = settings(endpoint.clone(), Some(&key), Some(&ca));
    let found = discover(&trusted).await.remove(0);
    assert_eq!(found.kind, RuntimeKind::Vllm);
    assert_eq!(
        found.endpoint.to_string(),
        format!("https://localhost:{}", addr.port())
    );
    let (_proxy, proxy) = proxy_over(trusted).await;
    for _ in 0..3 {
        let model = &found.models[0].id;
        let answer = ask(proxy, model, &format!("Authorization: Bearer {KEY}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"usage\""));
    }

    // Nobody built in vouches for it, and another name is not its own.
    assert_eq!(discover(&settings(endpoint, Some(&key), None)).await, []);
    let other = Endpoint::new("127.0.0.2", addr.port()).over_tls();
    assert_eq!(discover(&settings(other, Some(&key), Some(&ca))).await, []);
}

#[tokio::test]
async fn what_the_owner_names_is_nothing_else() {
    let sim = SimRuntime::start(SimConfig::new(Kind::Vllm)).await.unwrap();
    let mut named = settings(Endpoint::new("127.0.0.1", sim.addr().port()), None, None);
    named.endpoints[0].kind = Some(RuntimeKind::Vllm);
    assert_eq!(discover(&named).await[0].kind, RuntimeKind::Vllm);
    named.endpoints[0].kind = Some(RuntimeKind::Tgi);
    assert_eq!(discover(&named).await, []);
}
