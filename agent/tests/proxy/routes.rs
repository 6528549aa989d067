//! Where requests go, what is passed through, what is refused.

use super::support::*;
use dgon_agent::runtime::RuntimeKind;
use dgon_agent_core::facts::Failure;
use std::time::Duration;

fn ok(body: &str) -> Vec<Step> {
    answer(Wire::Length, "application/json", body.as_bytes(), 1000)
}

async fn get(addr: std::net::SocketAddr, path: &str, headers: &str) -> Reply {
    let mut client = Client::connect(addr).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    client.send(request.as_bytes()).await;
    client.reply().await
}

#[tokio::test]
async fn requests_go_to_the_runtime_that_has_the_model() {
    let ollama = Upstream::play(ok(r#"{"who":"ollama"}"#)).await;
    let vllm = Upstream::play(ok(r#"{"who":"vllm"}"#)).await;
    let found = vec![
        runtime(RuntimeKind::Ollama, ollama.addr, "llama3.1:latest"),
        runtime(RuntimeKind::Vllm, vllm.addr, "acme/tiny"),
    ];
    let sink = MemorySink::open();
    let proxy = proxy(found, &sink).await;
    for (path, model, who) in [
        ("/v1/chat/completions", "llama3.1", "ollama"),
        ("/v1/chat/completions", "acme/tiny", "vllm"),
        ("/api/chat", "acme/tiny", "ollama"),
    ] {
        let reply = ask(proxy.addr, path, &format!("{{\"model\":\"{model}\"}}")).await;
        assert!(reply.text().contains(who), "{path} {model}");
    }
    let runtimes: Vec<_> = sink
        .wait_for(3)
        .await
        .into_iter()
        .filter_map(|f| f.runtime)
        .collect();
    assert_eq!(runtimes, ["ollama", "vllm", "ollama"]);
}

#[tokio::test]
async fn what_is_no_work_passes_through_without_a_receipt() {
    let upstream = Upstream::play(ok(r#"{"models":[]}"#)).await;
    let sink = MemorySink::open();
    let proxy = proxy(
        vec![runtime(RuntimeKind::Ollama, upstream.addr, "m")],
        &sink,
    )
    .await;
    let reply = get(
        proxy.addr,
        "/api/tags?x=1",
        "X-Mine: 1\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n",
    )
    .await;
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (200, r#"{"models":[]}"#)
    );
    let request = upstream.request().await.to_ascii_lowercase();
    assert!(request.starts_with("get /api/tags?x=1 http/1.1\r\n"));
    assert!(request.contains(&format!("host: {}\r\n", upstream.addr)));
    assert!(request.contains("x-mine: 1\r\n"));
    assert!(!request.contains("x-hop"));

    let streamed = "POST /api/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody";
    let mut client = Client::connect(proxy.addr).await;
    client.send(streamed.as_bytes()).await;
    assert_eq!(client.reply().await.status, 200);
    assert!(upstream.request().await.ends_with("body"));
    assert_eq!(sink.all().len(), 0);
}

#[tokio::test]
async fn a_head_request_has_the_length_and_no_body() {
    let script = vec![
        Step::Write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 17\r\n\r\n".to_vec(),
        ),
        Step::Again,
    ];
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::open();
    let proxy = proxy(
        vec![runtime(RuntimeKind::Ollama, upstream.addr, "m")],
        &sink,
    )
    .await;
    let mut client = Client::connect(proxy.addr).await;
    for _ in 0..2 {
        client
            .send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        client.until("\r\n\r\n").await;
        let head = client.so_far().to_ascii_lowercase();
        assert!(
            head.contains("200 ok") && head.contains("content-length: 17"),
            "{head}"
        );
        client.got.clear();
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn connections_to_a_runtime_are_used_again_and_a_dead_one_is_replaced() {
    let upstream = Upstream::play(ok("{}")).await;
    let sink = MemorySink::open();
    let running = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    for _ in 0..5 {
        assert_eq!(
            ask(running.addr, "/v1/embeddings", r#"{"model":"m"}"#)
                .await
                .status,
            200
        );
    }
    assert_eq!(upstream.connections(), 1);

    // This one closes after each answer without saying so first.
    let script = vec![
        Step::Write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
                .to_vec(),
        ),
        Step::Wait,
    ];
    let closing = Upstream::play(script).await;
    let sink = MemorySink::open();
    let running = proxy(vec![runtime(RuntimeKind::Vllm, closing.addr, "m")], &sink).await;
    for _ in 0..5 {
        let reply = ask(running.addr, "/v1/embeddings", r#"{"model":"m"}"#).await;
        assert_eq!(reply.status, 200);
        closing.go_on();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_runtime_is_said_and_recorded() {
    let sink = MemorySink::open();
    let proxy = proxy(vec![], &sink).await;
    let reply = ask(proxy.addr, "/v1/chat/completions", r#"{"model":"m"}"#).await;
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("no LLM runtime was found"));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(sink.only().await.failure, Some(Failure::Unreachable));
    assert_eq!(get(proxy.addr, "/v1/models", "").await.status, 503);
    assert_eq!(sink.all().len(), 1);
}

#[tokio::test]
async fn upgrades_foreign_hosts_and_detection_are_refused() {
    let upstream = Upstream::play(ok("{}")).await;
    let sink = MemorySink::open();
    let proxy = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let upgrade = get(
        proxy.addr,
        "/v1/realtime",
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
    )
    .await;
    assert_eq!(upgrade.status, 501);
    let detection = get(proxy.addr, "/v1/models", "X-DGON-Detect: 1\r\n").await;
    assert_eq!(detection.status, 404);
    assert_eq!(detection.header("server"), Some("dgon-agent"));
    let mut rebound = Client::connect(proxy.addr).await;
    rebound
        .send(b"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await;
    assert_eq!(rebound.reply().await.status, 403);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn bodies_are_bounded() {
    let upstream = Upstream::play(ok("{}")).await;
    let sink = MemorySink::open();
    let mut small = settings();
    small.max_body_bytes = 1000;
    small.body_budget_bytes = 1500;
    let proxy = proxy_with(
        vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")],
        &sink,
        small,
    )
    .await;
    let fits = format!("{{\"model\":\"m\",\"x\":\"{}\"}}", "y".repeat(900));
    assert_eq!(ask(proxy.addr, "/v1/completions", &fits).await.status, 200);
    let large = format!("{{\"model\":\"m\",\"x\":\"{}\"}}", "y".repeat(1000));
    assert_eq!(ask(proxy.addr, "/v1/completions", &large).await.status, 413);
    // The memory of finished requests is given back.
    assert_eq!(ask(proxy.addr, "/v1/completions", &fits).await.status, 200);
    // Nothing was asked of a runtime by the one that was too large.
    assert_eq!(sink.wait_for(2).await.len(), 2);
    // The body with usage asked for is a copy, for which there is no memory; what was asked is known all the same.
    let stream = format!(
        "{{\"model\":\"m\",\"stream\":true,\"x\":\"{}\"}}",
        "y".repeat(900)
    );
    let refused = ask(proxy.addr, "/v1/completions", &stream).await;
    assert_eq!(refused.status, 503);
    let facts = sink.wait_for(3).await.remove(2);
    assert_eq!(facts.failure, Some(Failure::BadRequest));
    assert_eq!(
        (facts.model_id.as_str(), facts.runtime.as_deref()),
        ("m", Some("vllm"))
    );
    assert!(facts.prompt_hash.is_some());
}

#[tokio::test]
async fn a_client_that_is_too_slow_is_let_go() {
    let sink = MemorySink::open();
    let mut quick = settings();
    quick.header_timeout = Duration::from_millis(100);
    quick.client_timeout = Duration::from_millis(100);
    let proxy = proxy_with(vec![], &sink, quick).await;
    let mut head = Client::connect(proxy.addr).await;
    head.send(b"POST /api/chat HTTP/1.1\r\nHost: loc").await;
    head.settle().await;
    head.settle().await;
    assert!(!head.so_far().contains("200"));
    let mut body = Client::connect(proxy.addr).await;
    body.send(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        .await;
    assert_eq!(body.reply().await.status, 408);
    assert!(sink.all().is_empty());
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go_and_its_work_cancelled() {
    let big = vec![b'x'; 64 * 1024];
    let mut script = vec![Step::Write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec(),
    )];
    script.extend(std::iter::repeat_n(Step::Write(chunk(&big)), 1000));
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::open();
    let mut quick = settings();
    quick.client_timeout = Duration::from_millis(200);
    let proxy = proxy_with(
        vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")],
        &sink,
        quick,
    )
    .await;
    let mut client = Client::connect(proxy.addr).await;
    client
        .post("/v1/chat/completions", r#"{"model":"m","stream":true}"#)
        .await;
    let facts = sink.only().await;
    assert_eq!(facts.status, dgon_protocol::receipt::Status::Cancelled);
    upstream.closed().await;
    drop(client);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let mut script = vec![Step::Wait];
    script.extend(ok("{}"));
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::open();
    let mut one = settings();
    one.max_connections = 1;
    let proxy = proxy_with(
        vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")],
        &sink,
        one,
    )
    .await;
    let mut first = Client::connect(proxy.addr).await;
    first.post("/v1/embeddings", r#"{"model":"m"}"#).await;
    soon(upstream.request()).await;
    let mut second = Client::connect(proxy.addr).await;
    second.post("/v1/embeddings", r#"{"model":"m"}"#).await;
    second.settle().await;
    assert_eq!(second.so_far(), "");
    upstream.go_on();
    upstream.go_on();
    assert_eq!(first.reply().await.status, 200);
    // Who only keeps its connection makes room.
    assert_eq!(second.reply().await.status, 200);
}

#[tokio::test]
async fn work_beyond_the_limit_is_told_to_come_back() {
    let upstream = Upstream::play(vec![Step::UntilClosed]).await;
    let sink = MemorySink::open();
    let mut one = settings();
    one.max_in_flight = 1;
    let proxy = proxy_with(
        vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")],
        &sink,
        one,
    )
    .await;
    let mut first = Client::connect(proxy.addr).await;
    first.post("/v1/completions", r#"{"model":"m"}"#).await;
    upstream.request().await;
    let reply = ask(proxy.addr, "/v1/completions", r#"{"model":"m"}"#).await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some());
    drop(first);
    assert_eq!(
        sink.only().await.status,
        dgon_protocol::receipt::Status::Cancelled
    );
}
