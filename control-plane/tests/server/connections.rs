//! How many connections one address may have.

#![allow(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::Server;
use dgon_control_plane::http::router;
use dgon_control_plane::http::server::{ServerLimits, serve};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

/// A listener of its own before the routes of `server`, with these limits.
async fn listen(server: &Server, limits: ServerLimits, stop: &CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(serve(listener, router(&server.state), limits, stop.clone()));
    address
}

/// A connection from an address of this machine. The answer to a request tells whether it was let in.
async fn connect(from: &str, to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().expect("socket");
    socket
        .bind(format!("{from}:0").parse().expect("address"))
        .expect("bind");
    let mut stream = socket.connect(to).await.expect("connect");
    let request = "GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n";
    // What was closed may refuse the write or the read, or answer nothing.
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.ok()?;
    assert_eq!(&start, b"HTTP/1.1 200");
    Some(stream)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_has_so_many_connections_and_keeps_nobody_out() {
    let server = Server::start().await;
    let stop = CancellationToken::new();
    let limits = ServerLimits {
        // Fewer places than the first address tries to take.
        max_connections: 4,
        max_connections_per_address: 2,
        exempt: vec!["127.0.0.9".parse().expect("block")],
        ..ServerLimits::default()
    };
    let to = listen(&server, limits, &stop).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(connect("127.0.0.1", to).await.expect("let in"));
    }
    for _ in 0..8 {
        assert!(connect("127.0.0.1", to).await.is_none());
    }
    let _other = connect("127.0.0.2", to).await.expect("another address");
    drop(open.pop());
    // When the server has noticed that one closed, there is room again.
    let again = loop {
        match connect("127.0.0.1", to).await {
            Some(stream) => break stream,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(connect("127.0.0.1", to).await.is_none());
    drop((open, again));
    let mut exempt = Vec::new();
    for _ in 0..3 {
        exempt.push(connect("127.0.0.9", to).await.expect("exempt"));
    }
    let mut browser = crate::support::Browser::new(&server);
    let counted = browser.get("/metrics").await.text;
    let line = counted
        .lines()
        .find(|line| line.starts_with("http_connections_over_limit_total "));
    let count: u32 = line
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .expect("a counter");
    assert!(count >= 9, "{count}");
    stop.cancel();
}

#[tokio::test]
async fn loopback_is_not_counted() {
    let server = Server::start().await;
    let stop = CancellationToken::new();
    let limits = ServerLimits {
        max_connections_per_address: 1,
        ..ServerLimits::default()
    };
    let to = listen(&server, limits, &stop).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(connect("127.0.0.1", to).await.expect("let in"));
    }
    stop.cancel();
}
