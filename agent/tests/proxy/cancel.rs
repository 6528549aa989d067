//! Clients that leave, runtimes that fail: the work stops at once and the receipt says how.

use super::support::*;
use dgon_agent::runtime::RuntimeKind;
use dgon_agent_core::facts::{Failure, TokensSource};
use dgon_protocol::receipt::Status;
use std::time::Duration;

const USAGE: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn events(count: usize) -> Vec<u8> {
    let body = exchange("vllm_chat_stream_continuous_usage.sse");
    let text = String::from_utf8(body).unwrap();
    let some: String = text.split_inclusive("\n\n").take(count).collect();
    chunk(some.as_bytes())
}

#[tokio::test]
async fn a_client_that_leaves_inside_a_stream_cancels_the_work() {
    let script = vec![
        Step::Write(HEAD.to_vec()),
        Step::Write(events(3)),
        Step::UntilClosed,
    ];
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let mut client = Client::connect(proxy.addr).await;
    client.post("/v1/chat/completions", USAGE).await;
    client.until(" answer").await;
    drop(client);
    upstream.closed().await;
    let facts = sink.only().await;
    assert_eq!((facts.status, facts.failure), (Status::Cancelled, None));
    assert_eq!((facts.tokens_input, facts.tokens_output), (48, 2));
    assert_eq!(facts.tokens_source, TokensSource::PartialUsage);
    assert!(facts.ttft_ms.is_some());
    assert_eq!(proxy.proxy.in_flight(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_work() {
    let upstream = Upstream::play(vec![Step::UntilClosed]).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let mut client = Client::connect(proxy.addr).await;
    client.post("/v1/chat/completions", USAGE).await;
    upstream.request().await;
    drop(client);
    upstream.closed().await;
    let facts = sink.only().await;
    assert_eq!((facts.status, facts.failure), (Status::Cancelled, None));
    assert_eq!(facts.model_id, "m");
}

#[tokio::test]
async fn a_client_that_leaves_inside_its_request_has_asked_for_nothing() {
    let sink = MemorySink::open();
    let mut one = settings();
    one.body_budget_bytes = 50;
    let proxy = proxy_with(vec![], &sink, one).await;
    let path = "/api/chat";
    let half = "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    let mut client = Client::connect(proxy.addr).await;
    client
        .send(format!("{half}{}", " ".repeat(40)).as_bytes())
        .await;
    // The memory for bodies is taken now, so that nobody else's is read.
    let whole = format!("{{\"model\":\"m\"{}}}", " ".repeat(10));
    soon(async {
        while ask(proxy.addr, path, &whole)
            .await
            .text()
            .contains("LLM runtime")
        {}
    })
    .await;
    let before = sink.all().len();
    drop(client);
    soon(async {
        while !ask(proxy.addr, path, &whole)
            .await
            .text()
            .contains("LLM runtime")
        {}
    })
    .await;
    assert_eq!(sink.wait_for(before + 1).await.len(), before + 1);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_receipt_is_written_leaves_one_receipt() {
    let body = exchange("vllm_chat_stream_usage.sse");
    let upstream = Upstream::play(answer(
        Wire::Chunked,
        "text/event-stream",
        &body,
        body.len(),
    ))
    .await;
    let sink = MemorySink::gated();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let mut client = Client::connect(proxy.addr).await;
    client.post("/v1/chat/completions", USAGE).await;
    client.until(" answer").await;
    client.settle().await;
    drop(client);
    sink.let_one();
    sink.let_one();
    let facts = sink.only().await;
    assert_eq!(facts.status, Status::Ok);
    soon(async {
        while proxy.proxy.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(sink.all().len(), 1);
}

#[tokio::test]
async fn a_runtime_that_breaks_off_is_seen_to_by_the_client_and_the_receipt() {
    for (script, failure, tokens) in [
        (vec![Step::Write(HEAD.to_vec()), Step::Write(events(4))], Failure::Incomplete, 3),
        (vec![Step::Write(HEAD.to_vec()), Step::Write(b"zz garbage\r\n".to_vec())], Failure::Incomplete, 0),
        (
            vec![Step::Write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"a\"".to_vec())],
            Failure::Incomplete,
            0,
        ),
    ] {
        let upstream = Upstream::play(script).await;
        let sink = MemorySink::open();
        let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
        let reply = ask(proxy.addr, "/v1/chat/completions", USAGE).await;
        assert_eq!(reply.status, 200);
        assert!(!reply.is_whole);
        let facts = sink.only().await;
        assert_eq!((facts.status, facts.failure), (Status::Error, Some(failure)));
        assert_eq!(facts.tokens_output, tokens);
    }
}

#[tokio::test]
async fn a_runtime_without_an_answer_is_a_bad_gateway() {
    for (script, failure) in [
        (vec![], Failure::Incomplete),
        (
            vec![Step::Write(b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec())],
            Failure::Incomplete,
        ),
    ] {
        let upstream = Upstream::play(script).await;
        let sink = MemorySink::open();
        let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
        let reply = ask(proxy.addr, "/v1/chat/completions", USAGE).await;
        assert_eq!(reply.status, 502);
        let facts = sink.only().await;
        assert_eq!(
            (facts.status, facts.failure),
            (Status::Error, Some(failure))
        );
        assert_eq!(upstream.connections(), 1, "what was sent is not sent again");
    }
}

#[tokio::test]
async fn a_runtime_that_is_gone_is_a_bad_gateway() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Ollama, gone, "m")], &sink).await;
    let reply = ask(proxy.addr, "/api/chat", USAGE).await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("cannot connect to the runtime"));
    let facts = sink.only().await;
    assert_eq!(facts.failure, Some(Failure::Unreachable));
}

#[tokio::test]
async fn silence_ends_an_answer() {
    let mut short = settings();
    short.stall_timeout = Duration::from_millis(100);
    let script = vec![
        Step::Write(HEAD.to_vec()),
        Step::Write(events(3)),
        Step::UntilClosed,
    ];
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::open();
    let running = proxy_with(
        vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")],
        &sink,
        short.clone(),
    )
    .await;
    let reply = ask(running.addr, "/v1/chat/completions", USAGE).await;
    assert!(!reply.is_whole);
    upstream.closed().await;
    assert_eq!(sink.only().await.failure, Some(Failure::Stalled));

    short.first_byte_timeout = Duration::from_millis(100);
    let silent = Upstream::play(vec![Step::UntilClosed]).await;
    let sink = MemorySink::open();
    let running = proxy_with(
        vec![runtime(RuntimeKind::Vllm, silent.addr, "m")],
        &sink,
        short,
    )
    .await;
    let reply = ask(running.addr, "/v1/chat/completions", USAGE).await;
    assert_eq!(reply.status, 504);
    silent.closed().await;
    assert_eq!(sink.only().await.failure, Some(Failure::Stalled));
}

#[tokio::test]
async fn a_stop_lets_running_answers_end_and_takes_no_new_ones() {
    let script = vec![
        Step::Write(HEAD.to_vec()),
        Step::Write(events(3)),
        Step::Wait,
        Step::Write(chunk(b"data: [DONE]\n\n")),
        Step::Write(b"0\r\n\r\n".to_vec()),
    ];
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let mut client = Client::connect(proxy.addr).await;
    client.post("/v1/chat/completions", USAGE).await;
    client.until(" answer").await;
    proxy.shutdown.cancel();
    soon(async {
        while tokio::net::TcpStream::connect(proxy.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    upstream.go_on();
    let reply = client.reply().await;
    assert!(reply.is_whole && reply.text().ends_with("[DONE]\n\n"));
    assert_eq!(sink.only().await.status, Status::Ok);
}
