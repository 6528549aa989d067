//! Many streams at once over the simulated runtimes: no byte lost, none out of order, one receipt each.

use super::support::*;
use dgon_agent::runtime::RuntimeKind;
use dgon_agent_core::facts::{RequestFacts, TokensSource};
use dgon_protocol::receipt::Status;
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};

const STREAMS: usize = 64;

pub(crate) fn path_and_kind(kind: Kind) -> (RuntimeKind, &'static str) {
    match kind {
        Kind::Ollama => (RuntimeKind::Ollama, "/api/chat"),
        Kind::Vllm => (RuntimeKind::Vllm, "/v1/chat/completions"),
        Kind::Tgi => (RuntimeKind::Tgi, "/generate_stream"),
        Kind::TensorRtLlm => (RuntimeKind::TensorrtLlm, "/v1/chat/completions"),
        Kind::LlamaCpp => (RuntimeKind::LlamaCpp, "/v1/chat/completions"),
        Kind::Triton => (RuntimeKind::Triton, "/v2/models/ensemble/generate_stream"),
    }
}

pub(crate) fn request(kind: Kind, model: &str, number: usize) -> String {
    let prompt = format!("stream number {number}");
    match kind {
        Kind::Tgi => serde_json::json!({"inputs": prompt, "parameters": {"details": true, "max_new_tokens": 200}}),
        Kind::Triton => serde_json::json!({"text_input": prompt, "max_tokens": 200}),
        _ => serde_json::json!({
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": true,
            "stream_options": {"include_usage": true},
        }),
    }
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_streams_lose_and_swap_nothing() {
    for kind in Kind::ALL {
        let mut config = SimConfig::new(kind);
        config.answer_tokens = Some(120);
        let model = config.model().to_owned();
        let sim = SimRuntime::start(config).await.unwrap();
        let sink = MemorySink::open();
        let (as_found, path) = path_and_kind(kind);
        let proxy = proxy(vec![runtime(as_found, sim.addr(), &model)], &sink).await;
        let mut streams = tokio::task::JoinSet::new();
        for number in 0..STREAMS {
            let (addr, body) = (proxy.addr, request(kind, &model, number));
            streams.spawn(async move { (body.clone(), ask(addr, path, &body).await) });
        }
        let replies = streams.join_all().await;
        let exchanges = sim.exchanges();
        assert_eq!(exchanges.len(), STREAMS, "{kind}");
        for (body, reply) in replies {
            assert!(reply.is_whole && reply.status == 200, "{kind}");
            let sent = exchanges
                .iter()
                .find(|exchange| exchange.request == body.as_bytes());
            let sent = sent.unwrap_or_else(|| panic!("{kind}: the request changed on its way"));
            assert!(
                reply.body == sent.sent,
                "{kind}: {} became {}",
                String::from_utf8_lossy(&sent.sent),
                reply.text()
            );
        }
        let all = sink.wait_for(STREAMS).await;
        assert_eq!(all.len(), STREAMS);
        for facts in all {
            assert_eq!(facts.status, Status::Ok, "{kind}: {facts:?}");
            // Some runtimes count the end of the sequence as a token.
            assert!((120..=121).contains(&facts.tokens_output), "{kind}");
            assert_eq!(facts.tokens_source, TokensSource::Usage, "{kind}");
            assert_eq!(facts.checkpoints, [100], "{kind}");
        }
        let sum = |of: fn(&RequestFacts) -> u64| sink.all().iter().map(of).sum::<u64>();
        assert_eq!(
            sum(|facts| facts.tokens_input),
            sim.stats().prompt_tokens,
            "{kind}"
        );
        assert_eq!(
            sum(|facts| facts.tokens_output),
            sim.stats().output_tokens,
            "{kind}"
        );
    }
}
