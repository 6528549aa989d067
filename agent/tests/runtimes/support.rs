//! A server with fixed pages, and waiting.

use dgon_agent::runtime::{Endpoint, FoundRuntime, Registry, RegistrySettings};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A page: status, extra header lines, body.
pub(crate) type Page = (u16, &'static str, String);

/// A server that answers these pages, and 404 elsewhere. Stops when dropped.
pub(crate) struct Pages {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _stop: DropGuard,
}

impl Pages {
    pub(crate) async fn serve(pages: &[(&'static str, Page)]) -> Self {
        Self::serve_at("127.0.0.1:0".parse().unwrap(), pages).await
    }

    pub(crate) async fn serve_at(at: SocketAddr, pages: &[(&'static str, Page)]) -> Self {
        // Another test's client may hold the port for a moment.
        let bind = async {
            loop {
                match TcpListener::bind(at).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let listener = tokio::time::timeout(Duration::from_secs(10), bind)
            .await
            .expect("the port stays taken");
        let addr = listener.local_addr().unwrap();
        let pages: Arc<HashMap<_, _>> = Arc::new(pages.iter().cloned().collect());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let stop = CancellationToken::new();
        let log = Arc::clone(&asked);
        let stopped = stop.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    () = stopped.cancelled() => return,
                };
                let (pages, log) = (Arc::clone(&pages), Arc::clone(&log));
                let stopped = stopped.clone();
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    loop {
                        let read = tokio::select! {
                            read = stream.read_buf(&mut request) => read,
                            () = stopped.cancelled() => return,
                        };
                        if read.unwrap_or(0) == 0 {
                            return;
                        }
                        let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") else {
                            continue;
                        };
                        let head = String::from_utf8_lossy(&request[..end]).into_owned();
                        request.drain(..end + 4);
                        let mut words = head.split(' ');
                        let (method, path) = (words.next().unwrap(), words.next().unwrap());
                        log.lock().unwrap().push(format!("{method} {path}"));
                        let missing = (404, "", "{\"detail\":\"Not Found\"}".to_owned());
                        let (status, headers, body) = pages.get(path).unwrap_or(&missing);
                        let answer = format!(
                            "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            addr,
            asked,
            _stop: stop.drop_guard(),
        }
    }

    /// `METHOD PATH` of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

pub(crate) fn page(body: &str) -> Page {
    (200, "", body.to_owned())
}

pub(crate) fn only(addrs: &[SocketAddr]) -> RegistrySettings {
    RegistrySettings {
        endpoints: addrs
            .iter()
            .map(|addr| Endpoint::new(addr.ip().to_string(), addr.port()).into())
            .collect(),
        detect: false,
        every: Duration::from_millis(50),
        ..RegistrySettings::default()
    }
}

/// Waits until the list is as it should be.
pub(crate) async fn until(
    registry: &Registry,
    is_so: impl FnMut(&Arc<Vec<FoundRuntime>>) -> bool,
) -> Arc<Vec<FoundRuntime>> {
    let mut found = registry.subscribe();
    tokio::time::timeout(Duration::from_secs(10), found.wait_for(is_so))
        .await
        .expect("the change was not noticed")
        .expect("the registry looks on")
        .clone()
}
