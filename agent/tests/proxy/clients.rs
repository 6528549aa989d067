//! Odd, slow and hostile clients: each gets a plain answer, holds nothing for ever, and leaves one receipt per work.

use super::support::*;
use dgon_agent::runtime::RuntimeKind;
use dgon_agent_core::facts::Failure;
use dgon_protocol::receipt::Status;
use std::sync::Arc;
use std::time::Duration;

const OK_BODY: &str = r#"{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
const SSE_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn ok() -> Vec<Step> {
    answer(Wire::Length, "application/json", OK_BODY.as_bytes(), 1000)
}

async fn vllm(script: Vec<Step>) -> (Upstream, Arc<MemorySink>, Running) {
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::open();
    let running = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    (upstream, sink, running)
}

/// Waits until no request is being served.
async fn idle(running: &Running) {
    soon(async {
        while running.proxy.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_with_a_receipt_each() {
    let (upstream, sink, running) = vllm(ok()).await;
    let mut client = Client::connect(running.addr).await;
    let one = post("/v1/completions", r#"{"model":"one"}"#);
    let two = post("/v1/completions", r#"{"model":"two"}"#);
    client
        .send(format!("{one}{two}GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        .await;
    for _ in 0..3 {
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.text().as_str()), (200, OK_BODY));
    }
    let models: Vec<_> = sink
        .wait_for(2)
        .await
        .into_iter()
        .map(|f| f.model_id)
        .collect();
    assert_eq!(models, ["one", "two"]);
    assert!(upstream.request().await.contains("one"));
    assert!(upstream.request().await.contains("two"));
    assert!(upstream.request().await.starts_with("GET /health "));
}

#[tokio::test]
async fn http_1_0_is_served_and_its_end_waits_for_the_receipt() {
    let body = exchange("vllm_chat_stream_nousage.sse");
    let upstream = Upstream::play(answer(Wire::Chunked, "text/plain", OK_BODY.as_bytes(), 9)).await;
    let sink = MemorySink::gated();
    let running = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let ask_old = post("/v1/completions", r#"{"model":"m"}"#).replace("HTTP/1.1", "HTTP/1.0");
    let mut client = Client::connect(running.addr).await;
    client.send(ask_old.as_bytes()).await;
    client.until("\r\n\r\n").await;
    client.settle().await;
    // Such a client takes the end of the connection for the end, so the last bytes wait.
    assert!(!client.so_far().ends_with(&OK_BODY[OK_BODY.len() - 2..]));
    sink.let_one();
    let reply = client.reply().await;
    assert!(reply.head.starts_with("HTTP/1.0 200"), "{}", reply.head);
    assert_eq!(reply.text(), OK_BODY);
    assert_eq!(sink.only().await.status, Status::Ok);

    let upstream = Upstream::play(answer(Wire::Chunked, "text/event-stream", &body, 40)).await;
    let sink = MemorySink::open();
    let running = proxy(
        vec![runtime(RuntimeKind::LlamaCpp, upstream.addr, "m")],
        &sink,
    )
    .await;
    let mut client = Client::connect(running.addr).await;
    client
        .send(
            post("/v1/chat/completions", r#"{"model":"m","stream":true}"#)
                .replace("HTTP/1.1", "HTTP/1.0")
                .as_bytes(),
        )
        .await;
    assert_eq!(client.reply().await.body, body);
}

#[tokio::test]
async fn an_answer_without_a_receipt_is_not_whole_for_http_1_0_either() {
    let upstream = Upstream::play(answer(Wire::Chunked, "text/plain", OK_BODY.as_bytes(), 9)).await;
    let sink = MemorySink::open();
    sink.fail_with(|| dgon_agent::proxy::SinkError::Closed);
    let running = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let mut client = Client::connect(running.addr).await;
    let ask_old = post("/v1/completions", r#"{"model":"m"}"#).replace("HTTP/1.1", "HTTP/1.0");
    client.send(ask_old.as_bytes()).await;
    let text = client.reply().await.text();
    assert!(OK_BODY.starts_with(&text) && text != OK_BODY, "{text}");
}

#[tokio::test]
async fn absolute_addresses_are_served_where_they_name_this_machine() {
    let (upstream, sink, running) = vllm(ok()).await;
    let request = post("/v1/completions", r#"{"model":"m"}"#);
    let mut client = Client::connect(running.addr).await;
    client
        .send(
            request
                .replace("POST /v1", "POST http://localhost:11435/v1")
                .as_bytes(),
        )
        .await;
    assert_eq!(client.reply().await.status, 200);
    assert!(
        upstream
            .request()
            .await
            .starts_with("POST /v1/completions HTTP/1.1")
    );
    assert_eq!(sink.only().await.status, Status::Ok);
    let mut client = Client::connect(running.addr).await;
    client
        .send(
            request
                .replace("POST /v1", "POST http://evil.example/v1")
                .as_bytes(),
        )
        .await;
    assert_eq!(client.reply().await.status, 403);
    assert_eq!(
        sink.all().len(),
        1,
        "what is refused at the door is no work"
    );
}

#[tokio::test]
async fn upgrades_other_than_websockets_are_plain_requests() {
    let (upstream, sink, running) = vllm(ok()).await;
    let request = post("/v1/completions", r#"{"model":"m"}"#).replace(
        "Host: localhost\r\n",
        "Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    );
    let mut client = Client::connect(running.addr).await;
    client.send(request.as_bytes()).await;
    assert_eq!(client.reply().await.status, 200);
    let seen = upstream.request().await.to_ascii_lowercase();
    assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"));
    assert_eq!(sink.only().await.status, Status::Ok);
    let mut client = Client::connect(running.addr).await;
    client
        .send(b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(client.reply().await.status >= 400);
}

#[tokio::test]
async fn web_pages_of_other_sites_get_nothing_done() {
    let (upstream, sink, running) = vllm(ok()).await;
    let from = |origin: &str| {
        post("/v1/completions", r#"{"model":"m"}"#).replace(
            "Host: localhost\r\n",
            &format!("Host: localhost\r\nOrigin: {origin}\r\n"),
        )
    };
    for origin in ["https://evil.example", "null", "http://93.184.216.34"] {
        let mut client = Client::connect(running.addr).await;
        client.send(from(origin).as_bytes()).await;
        let reply = client.reply().await;
        assert_eq!(reply.status, 403, "{origin}");
        assert!(reply.text().contains("proxy.origins"), "{}", reply.text());
    }
    let preflight = "OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n";
    let mut client = Client::connect(running.addr).await;
    client.send(preflight.as_bytes()).await;
    assert_eq!(client.reply().await.status, 403);
    assert_eq!(upstream.connections(), 0);
    assert_eq!(sink.all().len(), 0);

    let mut client = Client::connect(running.addr).await;
    client.send(from("http://localhost:3000").as_bytes()).await;
    assert_eq!(client.reply().await.status, 200);

    let mut open = settings();
    open.origins = vec!["https://chat.example".to_owned()];
    let found = vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")];
    let running = proxy_with(found, &sink, open).await;
    let mut client = Client::connect(running.addr).await;
    client.send(from("https://chat.example").as_bytes()).await;
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn a_body_that_dribbles_is_given_up() {
    let (upstream, sink, _) = vllm(ok()).await;
    let mut quick = settings();
    quick.client_timeout = Duration::from_millis(300);
    let found = vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")];
    let running = proxy_with(found, &sink, quick).await;
    let mut client = Client::connect(running.addr).await;
    client
        .send(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        .await;
    // A byte at a time never pauses for long, and yet it ends.
    let reply = soon(async {
        loop {
            if client.try_send(b" ").await.is_err() {
                break;
            }
            client.settle_for(Duration::from_millis(20)).await;
            if !client.got.is_empty() {
                break;
            }
        }
        client.reply().await
    })
    .await;
    assert_eq!(reply.status, 408);
    assert!(sink.all().is_empty(), "nothing was asked of a runtime");
    idle(&running).await;
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_client_that_reads_a_little_now_and_then_is_let_go() {
    let mut script = vec![Step::Write(SSE_HEAD.to_vec())];
    let event = [b"data: ".as_slice(), &vec![b'x'; 64 * 1024], b"\n\n"].concat();
    script.extend(std::iter::repeat_n(Step::Write(chunk(&event)), 2000));
    let (upstream, sink, _) = vllm(script).await;
    let mut quick = settings();
    quick.client_timeout = Duration::from_millis(300);
    let found = vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")];
    let running = proxy_with(found, &sink, quick).await;
    let mut client = Client::connect(running.addr).await;
    client
        .post("/v1/chat/completions", r#"{"model":"m","stream":true}"#)
        .await;
    // Its pace: a hundred bytes, two hundred times a second.
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    soon(async {
        while sink.all().is_empty() {
            pace.tick().await;
            client.read_some(100).await;
        }
    })
    .await;
    assert_eq!(sink.only().await.status, Status::Cancelled);
    upstream.closed().await;
    idle(&running).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_its_client_reads_why() {
    let (upstream, sink, _) = vllm(ok()).await;
    let mut small = settings();
    small.max_body_bytes = 1 << 20;
    let found = vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")];
    let running = proxy_with(found, &sink, small).await;
    let body = vec![b' '; (1 << 20) + 1];
    let head = |rest: &str| {
        format!("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{rest}\r\n\r\n").into_bytes()
    };
    let known = [
        head(&format!("Content-Length: {}", body.len())),
        body.clone(),
    ]
    .concat();
    let chunked = [
        head("Transfer-Encoding: chunked"),
        chunk(&body),
        b"0\r\n\r\n".to_vec(),
    ]
    .concat();
    for request in [known, chunked] {
        let mut client = Client::connect(running.addr).await;
        // The whole of it can be sent: the answer does not tear the connection under it.
        client.send(&request).await;
        assert_eq!(client.reply().await.status, 413);
    }
    let asks = head(&format!(
        "Content-Length: {}\r\nExpect: 100-continue",
        body.len()
    ));
    let mut client = Client::connect(running.addr).await;
    client.send(&asks).await;
    let reply = client.reply().await;
    assert_eq!(
        reply.status, 413,
        "a client that asks first is told at once"
    );
    assert!(sink.all().is_empty(), "nothing was asked of a runtime");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn idle_connections_are_bounded_and_closed_after_a_while() {
    let (upstream, sink, _) = vllm(ok()).await;
    let mut few = settings();
    few.max_connections = 8;
    few.header_timeout = Duration::from_millis(200);
    let found = vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")];
    let running = proxy_with(found, &sink, few).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(Client::connect(running.addr).await);
    }
    // Those who say nothing are let go in their turn, and the one with a request is served.
    let mut last = Client::connect(running.addr).await;
    last.post("/v1/completions", r#"{"model":"m"}"#).await;
    assert_eq!(last.reply_within(Duration::from_secs(60)).await.status, 200);
    assert_eq!(sink.all().len(), 1);
}

#[tokio::test]
async fn the_connection_that_idled_longest_makes_room_and_who_works_stays() {
    let mut script = vec![Step::Wait];
    script.extend(ok());
    let (upstream, sink, _) = vllm(script).await;
    let mut few = settings();
    few.max_connections = 3;
    let found = vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")];
    let running = proxy_with(found, &sink, few).await;
    let mut works = Client::connect(running.addr).await;
    works.post("/v1/completions", r#"{"model":"m"}"#).await;
    soon(upstream.request()).await;
    let mut oldest = Client::connect(running.addr).await;
    oldest
        .send(b"GET /none HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await;
    assert_eq!(oldest.reply().await.status, 403);
    // A head that is not whole is no work.
    let mut second = Client::connect(running.addr).await;
    second.send(b"GET /none HT").await;
    let mut idle = Vec::new();
    for _ in 0..6 {
        let mut next = Client::connect(running.addr).await;
        next.send(b"GET /none HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            .await;
        assert_eq!(
            next.reply().await.status,
            403,
            "a client with work is served"
        );
        idle.push(next);
    }
    assert!(oldest.is_closed().await && second.is_closed().await);
    upstream.go_on();
    assert_eq!(works.reply().await.status, 200);
    assert_eq!(sink.only().await.status, Status::Ok);
}

#[tokio::test]
async fn names_of_others_are_refused_on_every_address_unless_the_owner_allows_them() {
    let (upstream, sink, _) = vllm(ok()).await;
    let mut named = settings();
    named.hosts = vec!["ai.example.org".to_owned()];
    let found = vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")];
    let open = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = open.local_addr().unwrap().port();
    let sink: Arc<dyn dgon_agent::proxy::ReceiptSink> = sink;
    let registry = dgon_agent::runtime::Registry::fixed(found);
    let proxy = dgon_agent::proxy::Proxy::new(registry, sink, named);
    tokio::spawn(proxy.serve(open, Default::default()));
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    for (host, status) in [
        ("evil.example", 403),
        ("ai.example.org", 200),
        ("ai.example.org:11435", 200),
        ("evil.ai.example.org", 403),
        ("192.168.1.5:11435", 200),
        ("gpu-box.lan", 200),
    ] {
        let mut client = Client::connect(addr).await;
        let request = post("/v1/completions", r#"{"model":"m"}"#);
        let request = request.replace("Host: localhost", &format!("Host: {host}"));
        client.send(request.as_bytes()).await;
        assert_eq!(client.reply().await.status, status, "{host}");
    }
}

/// A runtime that takes a request slowly, a piece at a time, and then answers; or stops taking it.
async fn slow_reader(pieces: Option<usize>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        let (mut piece, mut all) = (vec![0; 64 << 10], 0);
        for number in 0.. {
            beat.tick().await;
            if pieces.is_some_and(|most| number >= most) {
                std::future::pending::<()>().await;
            }
            all += tokio::io::AsyncReadExt::read(&mut stream, &mut piece)
                .await
                .unwrap();
            if all > UPLOAD_BYTES {
                break;
            }
        }
        let answer: Vec<u8> = ok().into_iter().filter_map(written).flatten().collect();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &answer)
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
    addr
}

/// Much more than lies in the buffers of the system.
const UPLOAD_BYTES: usize = 32 << 20;

fn written(step: Step) -> Option<Vec<u8>> {
    match step {
        Step::Write(bytes) => Some(bytes),
        _ => None,
    }
}

/// Asks with a body that takes a runtime longer than its time to the first byte.
async fn upload(pieces: Option<usize>) -> (Reply, Arc<MemorySink>) {
    let sink = MemorySink::open();
    let mut quick = settings();
    // Longer than the runtime takes for what lies in the buffers of the system when the last byte has moved.
    quick.first_byte_timeout = Duration::from_secs(2);
    let upstream = slow_reader(pieces).await;
    let found = vec![runtime(RuntimeKind::Vllm, upstream, "m")];
    let running = proxy_with(found, &sink, quick).await;
    let mut client = Client::connect(running.addr).await;
    let body = format!(r#"{{"model":"m","prompt":"{}"}}"#, "x".repeat(UPLOAD_BYTES));
    client.post("/v1/completions", &body).await;
    let reply = client.reply_within(Duration::from_secs(60)).await;
    (reply, sink)
}

#[tokio::test]
async fn a_request_that_moves_is_no_stall_however_long_it_takes() {
    let (reply, sink) = upload(None).await;
    assert_eq!(reply.status, 200);
    assert_eq!(sink.only().await.status, Status::Ok);
}

#[tokio::test]
async fn a_request_that_a_runtime_stops_to_take_is_one() {
    let (reply, sink) = upload(Some(3)).await;
    assert_eq!(reply.status, 504);
    assert_eq!(sink.only().await.failure, Some(Failure::Stalled));
}
