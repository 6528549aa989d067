//! Probes take the path of clients' requests and leave a receipt with the id that was asked for.

use super::support::*;
use dgon_agent::proxy::{Proxy, ReceiptSink, Settings};
use dgon_agent::runtime::{Readiness, Registry, RuntimeKind};
use dgon_protocol::frame::{Probe, ProbeOutcome, ProbeResult};
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::{Source, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

fn probe(model: Option<&str>, timeout_ms: u32) -> Probe {
    Probe {
        probe_id: "p1".to_owned(),
        request_id: RequestId::parse("r_probe").unwrap(),
        model: model.map(str::to_owned),
        prompt: "Say hi.".to_owned(),
        max_tokens: 4,
        timeout_ms,
    }
}

async fn run_probe(proxy: &Arc<Proxy>, probe: Probe) -> ProbeResult {
    match proxy.begin_probe(probe) {
        Ok(served) => served.await,
        Err(refused) => *refused,
    }
}

#[tokio::test]
async fn a_probe_is_served_and_recorded() {
    let body = exchange("vllm_chat_stream_usage.sse");
    let upstream = Upstream::play(answer(Wire::Chunked, "text/event-stream", &body, 90)).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let result = soon(run_probe(&proxy.proxy, probe(None, 5000))).await;
    assert_eq!(result.outcome, ProbeOutcome::Ok);
    assert_eq!(result.model.as_deref(), Some("m"));
    assert_eq!((result.tokens_input, result.tokens_output), (48, 6));
    assert!(result.ttft_ms.is_some());
    let facts = sink.only().await;
    assert_eq!(facts.source, Source::Probe);
    assert_eq!(Some(facts.request_id), result.request_id);
    let request = upstream.request().await;
    assert!(request.contains("\"max_tokens\":4") && request.contains("Say hi."));
}

#[tokio::test]
async fn a_probe_that_takes_too_long_is_cancelled() {
    let upstream = Upstream::play(vec![Step::UntilClosed]).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let result = soon(run_probe(&proxy.proxy, probe(Some("m"), 50))).await;
    assert_eq!(result.outcome, ProbeOutcome::Timeout);
    upstream.closed().await;
    assert_eq!(sink.only().await.status, Status::Cancelled);
}

#[tokio::test]
async fn a_probe_needs_a_ready_runtime_with_the_model() {
    let upstream = Upstream::play(vec![]).await;
    let sink = MemorySink::open();
    let mut loading = runtime(RuntimeKind::LlamaCpp, upstream.addr, "m");
    loading.readiness = Readiness::Loading;
    let proxy = proxy(vec![loading], &sink).await;
    for model in [None, Some("m"), Some("other")] {
        let result = run_probe(&proxy.proxy, probe(model, 1000)).await;
        assert_eq!(result.outcome, ProbeOutcome::NoRuntime);
        assert_eq!(result.request_id, None);
    }
    assert_eq!(sink.all().len(), 0);
}

#[tokio::test]
async fn a_probe_tells_how_the_runtime_failed() {
    let upstream = Upstream::play(vec![]).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let result = soon(run_probe(&proxy.proxy, probe(None, 5000))).await;
    assert_eq!(result.outcome, ProbeOutcome::Failed);
    assert_eq!(result.message.as_deref(), Some("the answer broke off"));
    assert_eq!(sink.only().await.status, Status::Error);
}

#[tokio::test]
async fn a_probe_asks_for_no_more_than_it_may() {
    let body = exchange("vllm_chat_stream_usage.sse");
    let upstream = Upstream::play(answer(Wire::Chunked, "text/event-stream", &body, 90)).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let mut greedy = probe(None, u32::MAX);
    greedy.max_tokens = 1_000_000;
    let result = soon(run_probe(&proxy.proxy, greedy)).await;
    assert_eq!(result.outcome, ProbeOutcome::Ok);
    let request = upstream.request().await;
    assert!(request.contains("\"max_tokens\":256"), "{request}");
    // None at all means no limit to some runtimes.
    let mut unlimited = probe(None, 5000);
    unlimited.max_tokens = 0;
    soon(run_probe(&proxy.proxy, unlimited)).await;
    let request = upstream.request().await;
    assert!(
        request.contains("\"max_tokens\":1,") || request.contains("\"max_tokens\":1}"),
        "{request}"
    );
}

#[tokio::test]
async fn probes_have_few_places_whoever_sends_them() {
    let upstream = Upstream::play(vec![Step::UntilClosed]).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let running: Vec<_> = (0..settings().max_probes)
        .map(|_| {
            let proxy = Arc::clone(&proxy.proxy);
            tokio::spawn(async move { run_probe(&proxy, probe(Some("m"), 60_000)).await })
        })
        .collect();
    for _ in &running {
        upstream.request().await;
    }
    let result = soon(run_probe(&proxy.proxy, probe(Some("m"), 60_000))).await;
    assert_eq!(result.outcome, ProbeOutcome::Refused);
    assert!(result.message.unwrap().contains("as many probes"));
    running.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_probe_of_a_paused_node_is_refused() {
    let upstream = Upstream::play(vec![]).await;
    let sink = MemorySink::open();
    let mut paused = settings();
    paused.mode.pause_by_owner(true);
    paused.max_probes = 1;
    let found = vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")];
    let proxy = proxy_with(found, &sink, paused).await;
    let result = soon(run_probe(&proxy.proxy, probe(Some("m"), 1000))).await;
    assert_eq!(result.outcome, ProbeOutcome::Refused);
    assert_eq!(sink.all().len(), 0);
}

/// The network's work has no connection at the proxy's port; a stop waits for it all the same.
#[tokio::test]
async fn a_stop_waits_for_the_receipts_of_probes() {
    for (drain, status) in [(60, Status::Ok), (0, Status::Cancelled)] {
        let body = exchange("vllm_chat_stream_usage.sse");
        let script = match status {
            Status::Ok => {
                let mut script = vec![Step::Wait];
                script.extend(answer(Wire::Chunked, "text/event-stream", &body, 90));
                script
            }
            _ => vec![Step::UntilClosed],
        };
        let upstream = Upstream::play(script).await;
        let sink = MemorySink::open();
        let settings = Settings {
            drain_timeout: Duration::from_secs(drain),
            ..settings()
        };
        let found = Registry::fixed(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")]);
        let receipts = Arc::clone(&sink) as Arc<dyn ReceiptSink>;
        let proxy = Proxy::new(found, receipts, settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = CancellationToken::new();
        let serving =
            tokio::spawn(Arc::clone(&proxy).serve_on_threads(vec![listener], stop.clone()));
        let running = tokio::spawn({
            let proxy = Arc::clone(&proxy);
            async move { run_probe(&proxy, probe(Some("m"), 60_000)).await }
        });
        upstream.request().await;
        stop.cancel();
        if status == Status::Ok {
            upstream.go_on();
        }
        soon(serving).await.unwrap();
        let all = sink.all();
        assert_eq!(all.len(), 1, "the receipt of the probe is recorded");
        assert_eq!(all[0].status, status);
        assert!(soon(running).await.is_ok());
    }
}
