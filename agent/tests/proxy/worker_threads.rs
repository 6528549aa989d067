//! The proxy on threads of its own, as the agent runs it.

use super::support::*;
use dgon_agent::proxy::{Proxy, ReceiptSink, Settings};
use dgon_agent::runtime::{Registry, RuntimeKind};
use dgon_protocol::receipt::Status;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const CLIENTS: usize = 16;

/// Clients on all threads are inside an answer when the agent stops and gives them no time: the threads end, but
/// not before each answer that was cut off has its receipt.
#[tokio::test]
async fn threads_end_when_every_answer_that_was_cut_off_has_its_receipt() {
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let script = vec![
        Step::Write(head.to_vec()),
        Step::Write(chunk(b": hello\n\n")),
        Step::UntilClosed,
    ];
    let upstream = Upstream::play(script).await;
    let sink = MemorySink::open();
    let found = Registry::fixed(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")]);
    let no_time = Settings {
        drain_timeout: Duration::ZERO,
        ..settings()
    };
    let receipts = Arc::clone(&sink) as Arc<dyn ReceiptSink>;
    let proxy = Proxy::new(found, receipts, no_time);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(Arc::clone(&proxy).serve_on_threads(vec![listener], stop.clone()));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(addr).await;
        let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
        client.post("/v1/chat/completions", body).await;
        client.until(": hello").await;
        clients.push(client);
    }
    assert_eq!(proxy.in_flight() as usize, CLIENTS);
    stop.cancel();
    soon(serving).await.unwrap();
    let all = sink.all();
    assert_eq!(all.len(), CLIENTS);
    assert!(all.iter().all(|facts| facts.status == Status::Cancelled));
    assert_eq!(proxy.in_flight(), 0);
}
