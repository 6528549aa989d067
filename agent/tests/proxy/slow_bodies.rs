//! Clients that are slow to send their request bodies harm nobody else.

use super::support::*;
use dgon_agent::proxy::Settings;
use dgon_agent::runtime::{Registry, RuntimeKind};
use dgon_agent_core::facts::Failure;
use dgon_protocol::receipt::Status;
use std::sync::Arc;
use std::time::Duration;

const WORK: &str = r#"{"model":"m"}"#;
/// A request for work that never comes to its end.
const SILENT_WORK: &[u8] =
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
/// The same of a request that is no work and goes straight through.
const SILENT_CONTROL: &[u8] =
    b"POST /api/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";

fn ok() -> Vec<Step> {
    answer(
        Wire::Length,
        "application/json",
        b"{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}",
        100,
    )
}

/// A proxy with these settings before a runtime that answers.
async fn serving(settings: Settings) -> (Running, Arc<MemorySink>, Upstream) {
    let upstream = Upstream::play(ok()).await;
    let sink = MemorySink::open();
    let found = vec![runtime(RuntimeKind::Ollama, upstream.addr, "m")];
    (proxy_with(found, &sink, settings).await, sink, upstream)
}

#[tokio::test]
async fn silent_bodies_hold_no_place_that_work_waits_for() {
    let mut few = settings();
    few.max_in_flight = 2;
    let (running, sink, _upstream) = serving(few).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(running.addr).await;
        client.send(SILENT_WORK).await;
        silent.push(client);
    }
    let reply = ask(running.addr, "/v1/completions", WORK).await;
    assert_eq!(reply.status, 200);
    assert_eq!(sink.only().await.status, Status::Ok);
}

#[tokio::test]
async fn silent_bodies_make_room_for_a_client_with_work() {
    let mut few = settings();
    few.max_connections = 4;
    let (running, _sink, _upstream) = serving(few).await;
    let mut silent = Vec::new();
    for request in [SILENT_WORK, SILENT_CONTROL].repeat(4) {
        let mut client = Client::connect(running.addr).await;
        client.send(request).await;
        silent.push(client);
    }
    let mut last = Client::connect(running.addr).await;
    last.post("/v1/completions", WORK).await;
    assert_eq!(last.reply().await.status, 200);
    assert!(silent[0].is_closed().await && silent[1].is_closed().await);
}

#[tokio::test]
async fn a_body_that_stops_on_its_way_through_is_the_clients_fault() {
    let mut quick = settings();
    quick.client_timeout = Duration::from_millis(200);
    let (running, sink, _upstream) = serving(quick).await;
    let mut client = Client::connect(running.addr).await;
    client.send(SILENT_CONTROL).await;
    let reply = client.reply().await;
    assert_eq!(reply.status, 408);
    assert!(
        reply.text().contains("stopped sending the request body"),
        "{}",
        reply.text()
    );
    assert!(sink.all().is_empty(), "it is no work");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_body() {
    let sink = MemorySink::open();
    let proxy = dgon_agent::proxy::Proxy::new(Registry::fixed(vec![]), sink.clone(), settings());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let served = tokio::spawn(proxy.serve(listener, stop.clone()));
    let mut client = Client::connect(addr).await;
    client.send(SILENT_WORK).await;
    client.settle().await;
    stop.cancel();
    let reply = client.reply().await;
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("stopping"), "{}", reply.text());
    soon(served).await.unwrap();
}

#[tokio::test]
async fn the_copy_that_asks_for_usage_takes_its_share_of_the_memory() {
    let upstream = Upstream::play(ok()).await;
    let sink = MemorySink::open();
    let mut small = settings();
    small.body_budget_bytes = 1500;
    let found = vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")];
    let running = proxy_with(found, &sink, small).await;
    let with = |stream: bool| {
        let filler = "y".repeat(900);
        format!("{{\"model\":\"m\",\"stream\":{stream},\"x\":\"{filler}\"}}")
    };
    let path = "/v1/completions";
    assert_eq!(ask(running.addr, path, &with(false)).await.status, 200);
    let reply = ask(running.addr, path, &with(true)).await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some());
    let all = sink.wait_for(2).await;
    assert_eq!(all[1].failure, Some(Failure::BadRequest));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn bodies_that_dribble_make_room_too() {
    let mut few = settings();
    few.max_connections = 4;
    let (running, _sink, _upstream) = serving(few).await;
    let mut dribbling = tokio::task::JoinSet::new();
    for request in [SILENT_WORK, SILENT_CONTROL].repeat(2) {
        let mut client = Client::connect(running.addr).await;
        client.send(request).await;
        dribbling.spawn(async move {
            // Its pace: a byte every few milliseconds, never a pause.
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            for _ in 0..90 {
                pace.tick().await;
                if client.try_send(b" ").await.is_err() {
                    return true;
                }
            }
            client.is_closed().await
        });
    }
    let mut last = Client::connect(running.addr).await;
    last.post("/v1/completions", WORK).await;
    assert_eq!(last.reply().await.status, 200);
    let closed = soon(dribbling.join_next()).await.unwrap().unwrap();
    assert!(closed, "one of them made room");
}

#[tokio::test]
async fn whoever_is_refused_reads_why_however_large_the_body() {
    let sink = MemorySink::open();
    let mut small = settings();
    small.body_budget_bytes = 1 << 20;
    let running = proxy_with(vec![], &sink, small).await;
    let body = vec![b' '; 30 << 20];
    for (host, status) in [("localhost", 503), ("evil.example", 403)] {
        let head = format!(
            "POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut client = Client::connect(running.addr).await;
        // All of it can be sent: the answer does not tear the connection under it.
        client.send(head.as_bytes()).await;
        client.send(&body).await;
        assert_eq!(client.reply().await.status, status, "{host}");
    }
}
