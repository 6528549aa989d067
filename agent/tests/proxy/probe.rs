//! Probes take the path of clients' requests and leave a receipt with the id that was asked for.

use super::support::*;
use dgon_agent::runtime::{Readiness, RuntimeKind};
use dgon_protocol::frame::{Probe, ProbeOutcome};
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::{Source, Status};

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

#[tokio::test]
async fn a_probe_is_served_and_recorded() {
    let body = exchange("vllm_chat_stream_usage.sse");
    let upstream = Upstream::play(answer(Wire::Chunked, "text/event-stream", &body, 90)).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let result = soon(proxy.proxy.run_probe(probe(None, 5000))).await;
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
    let result = soon(proxy.proxy.run_probe(probe(Some("m"), 50))).await;
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
        let result = proxy.proxy.run_probe(probe(model, 1000)).await;
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
    let result = soon(proxy.proxy.run_probe(probe(None, 5000))).await;
    assert_eq!(result.outcome, ProbeOutcome::Failed);
    assert_eq!(result.message.as_deref(), Some("the answer broke off"));
    assert_eq!(sink.only().await.status, Status::Error);
}
