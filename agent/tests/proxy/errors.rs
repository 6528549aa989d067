//! Error answers of every runtime pass as they are, status and headers too, and leave an error receipt.

use super::support::*;
use dgon_agent::runtime::RuntimeKind;
use dgon_agent_core::facts::{Failure, TokensSource};
use dgon_protocol::receipt::Status;

const CHAT: &str = "/v1/chat/completions";

/// Kind, path, file, status.
type Row = (RuntimeKind, &'static str, &'static str, u16);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (RuntimeKind::Ollama, "/api/chat", "ollama_error_busy_503.json", 503),
    (RuntimeKind::Ollama, "/api/chat", "ollama_error_canceled_499.json", 499),
    (RuntimeKind::Ollama, "/api/generate", "ollama_error_context_400.json", 400),
    (RuntimeKind::Ollama, "/api/generate", "ollama_error_model_not_found_404.json", 404),
    (RuntimeKind::Ollama, CHAT, "ollama_v1_error_busy_503.json", 503),
    (RuntimeKind::Ollama, CHAT, "ollama_v1_error_model_not_found_404.json", 404),
    (RuntimeKind::Vllm, CHAT, "vllm-0.32.0_err404.json", 404),
    (RuntimeKind::Vllm, CHAT, "vllm-0.32.0_err405.json", 405),
    (RuntimeKind::Vllm, CHAT, "vllm-0.32.0_errctx.json", 400),
    (RuntimeKind::Vllm, CHAT, "vllm-0.32.0_errval.json", 400),
    (RuntimeKind::Vllm, CHAT, "vllm-0.32.0_overload_503.json", 503),
    (RuntimeKind::Vllm, CHAT, "vllm-0.32.0_unauthorized_401.json", 401),
    (RuntimeKind::Vllm, CHAT, "vllm_error_engine_dead_500.json", 500),
    (RuntimeKind::Vllm, CHAT, "vllm_error_model_not_found_404_legacy.json", 404),
    (RuntimeKind::Vllm, CHAT, "vllm_error_queue_full_503.json", 503),
    (RuntimeKind::Tgi, "/generate", "tgi_error_overloaded_429.json", 429),
    (RuntimeKind::Tgi, "/generate", "tgi_error_validation_422.json", 422),
    (RuntimeKind::Tgi, "/generate", "tgi_error_generation_424.json", 424),
    (RuntimeKind::TensorrtLlm, CHAT, "trtllm_error_400.json", 400),
    (RuntimeKind::TensorrtLlm, CHAT, "trtllm_error_validation_400.json", 400),
    (RuntimeKind::Triton, "/v2/models/nope/generate", "triton_error_unknown_model.json", 404),
    (RuntimeKind::Triton, "/v2/models/m/generate_stream", "triton_error_404.json", 404),
    (RuntimeKind::LlamaCpp, CHAT, "llamacpp-0c1e570_error_bad_json_500.json", 500),
    (RuntimeKind::LlamaCpp, "/completion", "llamacpp-0c1e570_error_context_400.json", 400),
    (RuntimeKind::LlamaCpp, CHAT, "llamacpp-0c1e570_loading_503.json", 503),
];

#[tokio::test]
async fn errors_pass_as_they_are() {
    for &(kind, path, file, status) in ROWS {
        let body = exchange(file);
        let head = format!(
            "HTTP/1.1 {status} Said So\r\nContent-Type: application/json\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let script = vec![Step::Write([head.as_bytes(), &body].concat()), Step::Again];
        let upstream = Upstream::play(script).await;
        let sink = MemorySink::open();
        let proxy = proxy(vec![runtime(kind, upstream.addr, "m")], &sink).await;
        let reply = ask(proxy.addr, path, r#"{"model":"m","stream":true}"#).await;
        assert_eq!(reply.status, status, "{file}");
        assert_eq!(reply.text(), String::from_utf8_lossy(&body), "{file}");
        // Overload is the runtime's to explain, so its word of when to come back is kept.
        assert_eq!(reply.header("retry-after"), Some("7"), "{file}");
        let facts = sink.only().await;
        assert_eq!(
            (facts.status, facts.failure),
            (Status::Error, Some(Failure::UpstreamStatus)),
            "{file}"
        );
        assert_eq!(facts.tokens_source, TokensSource::None, "{file}");
    }
}
