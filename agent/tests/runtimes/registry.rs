//! Runtimes come, go and change without a restart.

use super::support::*;
use dgon_agent::proxy::{Proxy, Settings};
use dgon_agent::runtime::{Endpoint, Readiness, RuntimeKind, watch_endpoints};
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn models(id: &str, owner: &str) -> Page {
    page(&format!(
        r#"{{"data":[{{"id":"{id}","owned_by":"{owner}"}}]}}"#
    ))
}

#[tokio::test]
async fn a_runtime_that_comes_goes_and_changes_is_noticed() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    let registry = watch_endpoints(only(&[addr]));
    assert!(registry.current().is_empty());

    let server = Pages::serve_at(
        addr,
        &[("/v1/models", models("a", "vllm")), ("/health", page(""))],
    )
    .await;
    let found = until(&registry, |found| found.len() == 1).await;
    assert_eq!(found[0].kind, RuntimeKind::Vllm);

    drop(server);
    until(&registry, |found| found.is_empty()).await;

    let server = Pages::serve_at(
        addr,
        &[("/v1/models", models("b", "vllm")), ("/health", page(""))],
    )
    .await;
    until(&registry, |found| {
        found.iter().any(|r| r.model("b").is_some())
    })
    .await;
    drop(server);

    // Another kind takes the port.
    let _server = Pages::serve_at(
        addr,
        &[
            ("/v1/models", models("b", "tensorrt_llm")),
            ("/health", page("")),
        ],
    )
    .await;
    until(&registry, |found| {
        found.iter().any(|r| r.kind == RuntimeKind::TensorrtLlm)
    })
    .await;
}

#[tokio::test]
async fn several_runtimes_are_kept_in_the_order_they_were_named() {
    let ollama = SimRuntime::start(SimConfig::new(Kind::Ollama))
        .await
        .unwrap();
    let tgi = SimRuntime::start(SimConfig::new(Kind::Tgi)).await.unwrap();
    let llama = SimRuntime::start(SimConfig::new(Kind::LlamaCpp))
        .await
        .unwrap();
    let registry = watch_endpoints(only(&[tgi.addr(), ollama.addr(), llama.addr()]));
    let found = until(&registry, |found| found.len() == 3).await;
    let kinds: Vec<_> = found.iter().map(|runtime| runtime.kind).collect();
    assert_eq!(
        kinds,
        [RuntimeKind::Tgi, RuntimeKind::Ollama, RuntimeKind::LlamaCpp]
    );
}

#[tokio::test]
async fn an_endpoint_that_hangs_holds_up_no_other() {
    // Says that it lives, and then hangs at every question, each of which takes its time to be given up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = listener.local_addr().unwrap();
    let (asked_out, mut asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).await.unwrap();
            let line = String::from_utf8_lossy(&request[..count]).into_owned();
            if line.starts_with("GET / ") {
                let answer = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
            asked_out.send(line).ok();
            open.push(stream);
        }
    });
    let sim = SimRuntime::start(SimConfig::new(Kind::Vllm)).await.unwrap();
    let mut settings = only(&[hanging, sim.addr()]);
    // No second look comes to help.
    settings.every = std::time::Duration::from_secs(3600);
    let registry = watch_endpoints(settings);
    until(&registry, |found| found.len() == 1).await;
    let mut so_far = Vec::new();
    while let Ok(line) = asked.try_recv() {
        so_far.push(line);
    }
    // Its look is not over: the last kind's question has not been asked.
    assert!(
        !so_far
            .iter()
            .any(|line| line.contains("/api/version") || line.contains("/v2 ")),
        "{so_far:?}"
    );
}

#[tokio::test]
async fn who_saw_a_runtime_fail_can_ask_for_a_look() {
    let sim = SimRuntime::start(SimConfig::new(Kind::Ollama))
        .await
        .unwrap();
    let mut settings = only(&[sim.addr()]);
    settings.every = std::time::Duration::from_secs(3600);
    let registry = watch_endpoints(settings);
    until(&registry, |found| found.len() == 1).await;
    drop(sim);
    registry.look_now();
    until(&registry, |found| found.is_empty()).await;
}

#[tokio::test]
async fn an_endpoint_that_failed_is_looked_at_alone() {
    let pages = [("/v1/models", models("a", "vllm")), ("/health", page(""))];
    let (failed, other) = (Pages::serve(&pages).await, Pages::serve(&pages).await);
    let mut settings = only(&[failed.addr, other.addr]);
    settings.every = std::time::Duration::from_secs(3600);
    let registry = watch_endpoints(settings);
    until(&registry, |found| found.len() == 2).await;
    let at = failed.addr;
    let asked_before = other.asked().len();
    drop(failed);
    registry.look_at(&Endpoint::new(at.ip().to_string(), at.port()));
    until(&registry, |found| found.len() == 1).await;
    assert_eq!(other.asked().len(), asked_before);
    // A look everywhere is one at the other, too.
    drop(other);
    registry.look_now();
    until(&registry, |found| found.is_empty()).await;
}

#[tokio::test]
async fn a_stranger_on_a_well_known_port_is_asked_less_and_less_and_a_runtime_in_its_place_is_found()
 {
    let stranger = Pages::serve(&[("/", (200, "Server: nginx\r\n", "hello".to_owned()))]).await;
    let named = Pages::serve(&[("/", page("hello"))]).await;
    let endpoint = |addr: std::net::SocketAddr| Endpoint::new(addr.ip().to_string(), addr.port());
    let mut settings = only(&[named.addr]);
    settings.detect = true;
    settings.well_known = vec![endpoint(stranger.addr)];
    settings.every = std::time::Duration::from_millis(10);
    let registry = watch_endpoints(settings);
    let looks = |pages: &Pages| {
        pages
            .asked()
            .iter()
            .filter(|line| *line == "GET / ")
            .count()
            + pages.asked().iter().filter(|line| *line == "GET /").count()
    };
    let enough = async {
        while looks(&named) < 64 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), enough)
        .await
        .expect("what the owner named is asked on and on");
    assert!(looks(&stranger) <= 16, "{} looks", looks(&stranger));
    let at = stranger.addr;
    drop(stranger);
    let pages = [("/v1/models", models("a", "vllm")), ("/health", page(""))];
    let _runtime = Pages::serve_at(at, &pages).await;
    registry.look_now();
    until(&registry, |found| found.len() == 1).await;
}

#[tokio::test]
async fn loading_ends_in_readiness() {
    let mut config = SimConfig::new(Kind::LlamaCpp);
    config.loading = std::time::Duration::from_secs(2);
    let sim = SimRuntime::start(config).await.unwrap();
    let registry = watch_endpoints(only(&[sim.addr()]));
    until(&registry, |found| {
        found.iter().any(|r| r.readiness == Readiness::Loading)
    })
    .await;
    until(&registry, |found| found.iter().any(|r| r.is_ready())).await;
}

#[tokio::test]
async fn an_unchanged_runtime_wakes_nobody() {
    let pages = [("/v1/models", models("a", "vllm")), ("/health", page(""))];
    let server = Pages::serve(&pages).await;
    let registry = watch_endpoints(only(&[server.addr]));
    until(&registry, |found| found.len() == 1).await;
    let mut changes = registry.subscribe();
    changes.mark_unchanged();
    let before = server.asked().len();
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while server.asked().len() < before + 10 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it looks on");
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn the_proxy_in_front_of_a_runtime_is_no_runtime_itself() {
    let sim = SimRuntime::start(SimConfig::new(Kind::Ollama))
        .await
        .unwrap();
    let behind = watch_endpoints(only(&[sim.addr()]));
    until(&behind, |found| found.len() == 1).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sink = std::sync::Arc::new(NoSink);
    let proxy = Proxy::new(behind, sink, Settings::with_hash_key([0; 32]));
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(proxy.serve(listener, stop.clone()));
    assert_eq!(dgon_agent::runtime::discover(&only(&[addr])).await, []);
    stop.cancel();
}

/// Detection leaves no receipts, so there is nothing to sink.
struct NoSink;

impl dgon_agent::proxy::ReceiptSink for NoSink {
    fn room(&self) -> Result<u64, dgon_agent::proxy::SinkError> {
        Ok(u64::MAX)
    }

    fn full(&self) -> dgon_agent::proxy::SinkError {
        dgon_agent::proxy::SinkError::Closed
    }

    fn next_request_id(&self) -> dgon_protocol::id::RequestId {
        dgon_protocol::id::RequestId::generate(0, 0)
    }

    fn record(
        &self,
        _facts: dgon_agent_core::facts::RequestFacts,
    ) -> futures_util::future::BoxFuture<'_, Result<u64, dgon_agent::proxy::SinkError>> {
        Box::pin(async { Err(dgon_agent::proxy::SinkError::Closed) })
    }
}
