//! No answer looks finished before its receipt is recorded.

use super::support::*;
use dgon_agent::proxy::SinkError;
use dgon_agent::runtime::RuntimeKind;

const SSE: &str = "text/event-stream";
const USAGE: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;

/// Kind, path, file, content type, framing, the text that ends it, a text from before the end.
type Row = (
    RuntimeKind,
    &'static str,
    &'static str,
    &'static str,
    Wire,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (RuntimeKind::Vllm, "/v1/chat/completions", "vllm_chat_stream_usage.sse", SSE, Wire::Chunked, "[DONE]", "answer"),
    (RuntimeKind::Vllm, "/v1/chat/completions", "vllm_chat_stream_usage.sse", SSE, Wire::UntilClose, "[DONE]", "answer"),
    (RuntimeKind::Ollama, "/api/chat", "ollama_chat_stream.ndjson", "application/x-ndjson", Wire::Chunked, "\"done\":true", "answer"),
    (RuntimeKind::Tgi, "/generate_stream", "tgi_generate_stream.sse", SSE, Wire::Chunked, "The answer is 42", " answer"),
    (RuntimeKind::LlamaCpp, "/completion", "llamacpp-0c1e570_completion_native_stream.sse", SSE, Wire::Chunked, "\"stop\":true", "HTTP/1.1 200"),
];

#[tokio::test]
async fn the_terminal_mark_waits_for_the_receipt() {
    for &(kind, path, file, content_type, wire, mark, before) in ROWS {
        let body = exchange(file);
        let upstream = Upstream::play(answer(wire, content_type, &body, body.len())).await;
        let sink = MemorySink::gated();
        let proxy = proxy(vec![runtime(kind, upstream.addr, "m")], &sink).await;
        let mut client = Client::connect(proxy.addr).await;
        client.post(path, USAGE).await;
        client.until(before).await;
        client.settle().await;
        assert!(
            !client.so_far().contains(mark),
            "{file}: {}",
            client.so_far()
        );
        assert_eq!(sink.all().len(), 0);
        assert_eq!(proxy.proxy.in_flight(), 1);
        sink.let_one();
        let reply = client.reply().await;
        assert_eq!(reply.body, body, "{file}");
        assert!(reply.is_whole);
        assert_eq!(sink.all().len(), 1, "{file}");
    }
}

#[tokio::test]
async fn the_last_piece_of_a_body_of_known_length_waits() {
    let body = exchange("vllm_chat.json");
    let upstream = Upstream::play(answer(
        Wire::Length,
        "application/json",
        &body,
        body.len() / 2,
    ))
    .await;
    let sink = MemorySink::gated();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let mut client = Client::connect(proxy.addr).await;
    client
        .post("/v1/chat/completions", r#"{"model":"m"}"#)
        .await;
    client.settle().await;
    assert!(!client.got.ends_with(&body[body.len() - 10..]));
    sink.let_one();
    assert_eq!(client.reply().await.body, body);
}

#[tokio::test]
async fn the_end_of_a_chunked_body_without_a_mark_waits() {
    for file in [
        "triton_generate_stream.sse",
        "ollama_v1_chat_stream_error_midway.sse",
    ] {
        let body = exchange(file);
        let upstream = Upstream::play(answer(Wire::Chunked, SSE, &body, 200)).await;
        let sink = MemorySink::gated();
        let proxy = proxy(
            vec![runtime(RuntimeKind::Ollama, upstream.addr, "m")],
            &sink,
        )
        .await;
        let mut client = Client::connect(proxy.addr).await;
        client.post("/v1/chat/completions", USAGE).await;
        client.settle().await;
        // Every byte may pass; only that it is the end must not be seen.
        assert!(!client.so_far().ends_with("0\r\n\r\n"), "{file}");
        sink.let_one();
        let reply = client.reply().await;
        assert_eq!(reply.body, body);
        assert!(reply.is_whole);
    }
}

#[tokio::test]
async fn an_answer_without_a_body_waits_with_its_head() {
    let script = vec![
        Step::Write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Step::Again,
    ];
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::gated();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let mut client = Client::connect(proxy.addr).await;
    client
        .post("/v1/chat/completions", r#"{"model":"m"}"#)
        .await;
    upstream.request().await;
    client.settle().await;
    assert_eq!(client.so_far(), "");
    sink.let_one();
    assert_eq!(client.reply().await.status, 503);
    assert_eq!(sink.all().len(), 1);
}

#[tokio::test]
async fn a_receipt_that_cannot_be_recorded_cuts_the_answer() {
    let body = exchange("vllm_chat_stream_usage.sse");
    let upstream = Upstream::play(answer(Wire::Chunked, SSE, &body, body.len())).await;
    let sink = MemorySink::open();
    sink.fail_with(|| SinkError::Write(std::io::ErrorKind::StorageFull.into()));
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let reply = ask(proxy.addr, "/v1/chat/completions", USAGE).await;
    assert!(!reply.is_whole);
    assert!(!reply.text().contains("[DONE]"));
}

#[tokio::test]
async fn nothing_is_served_while_no_receipt_could_be_recorded() {
    let upstream = Upstream::play(vec![]).await;
    let sink = MemorySink::open();
    sink.not_ready(|| SinkError::Full {
        receipts: 9,
        bytes: 99,
    });
    let proxy = proxy(
        vec![runtime(RuntimeKind::Ollama, upstream.addr, "m")],
        &sink,
    )
    .await;
    for (path, reason) in [
        ("/v1/chat/completions", "\"type\":\"spool_unavailable\""),
        (
            "/api/chat",
            "{\"error\":\"the receipt spool is full (9 receipts, 99 bytes)",
        ),
    ] {
        let reply = ask(proxy.addr, path, USAGE).await;
        assert_eq!(reply.status, 503);
        assert!(reply.text().contains(reason), "{}", reply.text());
    }
    assert_eq!(upstream.connections(), 0);
}

/// A runtime that goes on after the mark that ends its answer has its work delivered to nobody: no receipt tells of it.
#[tokio::test]
async fn what_goes_on_after_the_end_is_cut() {
    let done = "{\"model\":\"m\",\"done\":true,\"prompt_eval_count\":2,\"eval_count\":3}\n";
    let more = "{\"model\":\"m\",\"message\":{\"content\":\"more\"},\"done\":false}\n";
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    // In the same piece as the mark, and in one of its own.
    for pieces in [
        vec![format!("{done}{more}")],
        vec![done.to_owned(), more.to_owned()],
    ] {
        let mut script = vec![Step::Write(head.to_vec())];
        script.extend(
            pieces
                .iter()
                .map(|piece| Step::Write(chunk(piece.as_bytes()))),
        );
        script.push(Step::UntilClosed);
        let upstream = Upstream::play(script).await;
        let sink = MemorySink::open();
        let proxy = proxy(
            vec![runtime(RuntimeKind::Ollama, upstream.addr, "m")],
            &sink,
        )
        .await;
        let reply = ask(proxy.addr, "/api/chat", r#"{"model":"m"}"#).await;
        assert_eq!(String::from_utf8_lossy(&reply.body), done);
        assert!(!reply.is_whole);
        upstream.closed().await;
        let facts = sink.only().await;
        assert_eq!((facts.tokens_input, facts.tokens_output), (2, 3));
    }
}
