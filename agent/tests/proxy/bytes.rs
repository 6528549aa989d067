//! The bytes that a client gets are the bytes that the runtime sent, and the receipt says what they say.

use super::support::*;
use dgon_agent::runtime::RuntimeKind;
use dgon_agent_core::facts::{Failure, TokensSource};
use dgon_protocol::receipt::{Source, Status};

const SSE: &str = "text/event-stream; charset=utf-8";
const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// Kind, path, file, content type, outcome, prompt tokens, output tokens.
type Row = (
    RuntimeKind,
    &'static str,
    &'static str,
    &'static str,
    Result<(), Failure>,
    u64,
    u64,
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (RuntimeKind::Ollama, "/api/chat", "ollama_chat_stream.ndjson", NDJSON, Ok(()), 26, 5),
    (RuntimeKind::Ollama, "/api/chat", "ollama_chat.json", JSON, Ok(()), 26, 5),
    (RuntimeKind::Ollama, "/api/generate", "ollama_generate_stream.ndjson", NDJSON, Ok(()), 9, 2),
    (RuntimeKind::Ollama, "/api/chat", "ollama_chat_stream_error_midway.ndjson", NDJSON, Err(Failure::UpstreamError), 0, 2),
    (RuntimeKind::Ollama, "/api/chat", "ollama_chat_stream_no_terminal.ndjson", NDJSON, Err(Failure::Incomplete), 0, 5),
    (RuntimeKind::Ollama, "/v1/chat/completions", "ollama_v1_chat.json", JSON, Ok(()), 26, 5),
    (RuntimeKind::Vllm, "/v1/chat/completions", "vllm_chat_stream_usage_cached.sse", SSE, Ok(()), 48, 6),
    (RuntimeKind::Vllm, "/v1/chat/completions", "vllm_chat_stream_continuous_usage.sse", SSE, Ok(()), 48, 6),
    (RuntimeKind::Vllm, "/v1/chat/completions", "vllm-0.32.0_overload_in_stream_200.sse", SSE, Err(Failure::UpstreamError), 0, 0),
    (RuntimeKind::Vllm, "/v1/completions", "vllm_completions_stream_usage.sse", SSE, Ok(()), 5, 2),
    (RuntimeKind::Tgi, "/generate_stream", "tgi_generate_stream.sse", SSE, Ok(()), 14, 5),
    (RuntimeKind::Tgi, "/generate_stream", "tgi_generate_stream_nospace_v20.sse", SSE, Ok(()), 14, 5),
    (RuntimeKind::Tgi, "/generate", "tgi_generate.json", JSON, Ok(()), 0, 5),
    (RuntimeKind::TensorrtLlm, "/v1/chat/completions", "trtllm_chat_stream_usage.sse", SSE, Ok(()), 64, 4),
    (RuntimeKind::Triton, "/v2/models/tiny/generate_stream", "triton_generate_stream.sse", SSE, Ok(()), 0, 4),
    (RuntimeKind::Triton, "/v2/models/tiny/generate", "triton_generate.json", JSON, Ok(()), 0, 0),
    (RuntimeKind::LlamaCpp, "/v1/chat/completions", "llamacpp-0c1e570_chat_stream.sse", SSE, Ok(()), 51, 6),
    (RuntimeKind::LlamaCpp, "/completion", "llamacpp-0c1e570_completion_native_stream.sse", SSE, Ok(()), 13, 3),
];

/// A request that asks for usage itself, so that nothing may change on the way.
const BODY: &str =
    r#"{"model":"tiny","stream":true,"stream_options":{"include_usage":true},"prompt":"x"}"#;

#[tokio::test]
async fn answers_pass_unchanged_and_are_measured() {
    for &(kind, path, file, content_type, outcome, input, output) in ROWS {
        let body = exchange(file);
        for (wire, step) in [
            (Wire::Chunked, body.len()),
            (Wire::Chunked, 7),
            (Wire::Length, 100),
            (Wire::UntilClose, 61),
        ] {
            let upstream = Upstream::play(answer(wire, content_type, &body, step)).await;
            let sink = MemorySink::open();
            let proxy = proxy(vec![runtime(kind, upstream.addr, "tiny")], &sink).await;
            let reply = ask(proxy.addr, path, BODY).await;
            let what = format!("{file} {wire:?} by {step}");
            assert_eq!(reply.status, 200, "{what}");
            assert_eq!(reply.text(), String::from_utf8_lossy(&body), "{what}");
            assert!(reply.is_whole, "{what}");
            assert_eq!(reply.header("x-kept"), Some("yes"));
            assert!(upstream.request().await.ends_with(BODY), "{what}");

            let facts = sink.only().await;
            let status = if outcome.is_ok() {
                Status::Ok
            } else {
                Status::Error
            };
            assert_eq!(
                (facts.status, facts.failure),
                (status, outcome.err()),
                "{what}"
            );
            assert_eq!(
                (facts.tokens_input, facts.tokens_output),
                (input, output),
                "{what}"
            );
            assert_eq!(facts.runtime.as_deref(), Some(kind.as_str()));
            assert_eq!(facts.model_id, "tiny");
            assert_eq!(
                facts.model_hash,
                Some(format!("sha256:{}", "ab".repeat(32)))
            );
            assert_eq!(facts.source, Source::Local);
            assert_eq!(
                Some(facts.request_id.as_str()),
                reply.header("x-dgon-request-id")
            );
            let hash = blake3::keyed_hash(&[7; 32], BODY.as_bytes()).to_hex();
            assert_eq!(facts.prompt_hash, Some(format!("blake3:{hash}")));
            // One recording has three tokens that make no text, another a text that nobody counted.
            let says_something = match file {
                "triton_generate.json" => true,
                _ => output > 0 && !file.contains("completion_native"),
            };
            assert_eq!(facts.output_hash.is_some(), says_something, "{what}");
            assert!(facts.ended_ms >= facts.started_ms);
        }
    }
}

#[tokio::test]
async fn usage_that_the_client_did_not_ask_for_is_asked_for_and_kept() {
    for (kind, file, added) in [
        (
            RuntimeKind::Vllm,
            "vllm_chat_stream_usage.sse",
            r#""stream_options":{"include_usage":true}"#,
        ),
        (
            RuntimeKind::Ollama,
            "ollama_v1_chat_stream_usage.sse",
            r#""stream_options":{"include_usage":true}"#,
        ),
        (
            RuntimeKind::TensorrtLlm,
            "ollama_v1_chat_stream_usage.sse",
            r#""continuous_usage_stats":false"#,
        ),
    ] {
        let body = exchange(file);
        let text = String::from_utf8(body.clone()).unwrap();
        let without_usage: String = text
            .split_inclusive("\n\n")
            .filter(|event| !event.contains("\"choices\":[]"))
            .collect();
        for (wire, step) in [
            (Wire::Chunked, body.len()),
            (Wire::Chunked, 11),
            (Wire::Length, 50),
        ] {
            let upstream = Upstream::play(answer(wire, SSE, &body, step)).await;
            let sink = MemorySink::open();
            let proxy = proxy(vec![runtime(kind, upstream.addr, "m")], &sink).await;
            let reply = ask(
                proxy.addr,
                "/v1/chat/completions",
                r#"{"model":"m","stream":true}"#,
            )
            .await;
            assert_eq!(reply.text(), without_usage, "{file}");
            assert!(reply.is_whole);
            assert!(upstream.request().await.contains(added), "{file}");
            assert_eq!(sink.only().await.tokens_source, TokensSource::Usage);
        }
    }
}

#[tokio::test]
async fn what_tells_usage_anyway_is_not_asked_for_it() {
    let body = exchange("llamacpp-0c1e570_chat_stream.sse");
    let upstream = Upstream::play(answer(Wire::Chunked, SSE, &body, 99)).await;
    let sink = MemorySink::open();
    let proxy = proxy(
        vec![runtime(RuntimeKind::LlamaCpp, upstream.addr, "m")],
        &sink,
    )
    .await;
    let request = r#"{"model":"m","stream":true}"#;
    let reply = ask(proxy.addr, "/v1/chat/completions", request).await;
    assert_eq!(reply.body, body);
    assert!(upstream.request().await.ends_with(request));
    let facts = sink.only().await;
    assert_eq!((facts.tokens_input, facts.tokens_output), (51, 6));
    assert_eq!(facts.tokens_cached, Some(50));
}

#[tokio::test]
async fn headers_of_tgi_count_where_its_body_does_not() {
    for (head, file, path, counts) in [
        (
            "tgi_generate_headers.txt",
            "tgi_generate_nodetails.json",
            "/generate",
            (14, 5),
        ),
        // A stream has no such headers: its events are counted, one per token.
        (
            "tgi_stream_headers.txt",
            "tgi_generate_stream_nodetails.sse",
            "/generate_stream",
            (0, 5),
        ),
    ] {
        let body = exchange(file);
        let head = String::from_utf8(exchange(head)).unwrap();
        let mut head = head.trim_end().replace("\r\n", "\n").replace('\n', "\r\n");
        let is_chunked = head.contains("chunked");
        let rest = if is_chunked {
            [chunk(&body), b"0\r\n\r\n".to_vec()].concat()
        } else {
            head.push_str(&format!("\r\ncontent-length: {}", body.len()));
            body.clone()
        };
        let script = vec![
            Step::Write(format!("{head}\r\n\r\n").into_bytes()),
            Step::Write(rest),
        ];
        let upstream = Upstream::play(script).await;
        let sink = MemorySink::open();
        let found = vec![runtime(RuntimeKind::Tgi, upstream.addr, "acme/tiny-chat")];
        let proxy = proxy(found, &sink).await;
        let reply = ask(proxy.addr, path, r#"{"inputs":"x"}"#).await;
        assert_eq!(reply.body, body);
        assert_eq!(reply.header("x-compute-type"), Some("gpu+optimized"));
        let facts = sink.only().await;
        assert_eq!((facts.tokens_input, facts.tokens_output), counts, "{file}");
        assert_eq!(facts.model_id, "acme/tiny-chat");
    }
}

#[tokio::test]
async fn error_answers_pass_and_leave_an_error_receipt() {
    let body = exchange("vllm_error_model_not_found_404_legacy.json");
    let mut script = answer(Wire::Length, JSON, &body, 1000);
    if let Some(Step::Write(head)) = script.first_mut() {
        *head = String::from_utf8_lossy(head)
            .replace("200 OK", "404 Not Found")
            .into_bytes();
    }
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let reply = ask(proxy.addr, "/v1/chat/completions", r#"{"model":"nope"}"#).await;
    assert_eq!((reply.status, reply.body), (404, body));
    let facts = sink.only().await;
    assert_eq!(
        (facts.status, facts.failure),
        (Status::Error, Some(Failure::UpstreamStatus))
    );
    assert_eq!(facts.model_id, "nope");
    assert_eq!(facts.model_hash, None);
}

#[tokio::test]
async fn a_runtime_with_one_model_under_any_name_tells_that_models_digest() {
    let body = exchange("tgi_chat.json");
    let upstream = Upstream::play(answer(Wire::Length, JSON, &body, 1000)).await;
    let sink = MemorySink::open();
    let found = vec![runtime(RuntimeKind::Tgi, upstream.addr, "acme/tiny-chat")];
    let proxy = proxy(found, &sink).await;
    ask(proxy.addr, "/v1/chat/completions", r#"{"model":"tgi"}"#).await;
    let facts = sink.only().await;
    assert_eq!(facts.model_id, "tgi");
    assert_eq!(
        facts.model_hash,
        Some(format!("sha256:{}", "ab".repeat(32)))
    );
}
