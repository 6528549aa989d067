//! The metrics endpoint: `GET /metrics` for Prometheus. Off unless `telemetry.metrics_listen` names an address.
//!
//! Readers, head size and time are bounded. There is no password: what listens beyond this machine must be meant to.

use super::exposition::CONTENT_TYPE;
use crate::proxy::names_this_machine;
use bytes::Bytes;
use dgon_agent_dataplane::accept::AcceptErrors;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Readers at once; more hang up and come again.
const READERS: usize = 8;
/// Largest request head, bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// How long a reader may take for its request head, and may idle between requests.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// Longest life of one connection.
const LIFE: Duration = Duration::from_secs(3600);

/// Writes the page.
pub type WritePage = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// Serves the page at `address` until `stop`. An address that cannot be listened on is told and given up: metrics
/// are worth less than receipts.
pub async fn serve(
    address: SocketAddr,
    hosts: Arc<[String]>,
    page: WritePage,
    stop: CancellationToken,
) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(
                %address, %error,
                "no metrics: telemetry.metrics_listen cannot be listened on; the agent runs on without them"
            );
            return;
        }
    };
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(metrics = %format!("http://{address}/metrics"), "Prometheus can read metrics");
    let room = Arc::new(Semaphore::new(READERS));
    let mut errors = AcceptErrors::of("a reader of metrics");
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                errors.accepted();
                if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
                    let reader =
                        converse(stream, Arc::clone(&page), Arc::clone(&hosts), stop.clone());
                    tokio::spawn(async move {
                        reader.await;
                        drop(permit);
                    });
                }
            }
            Err(error) => errors.refused(&error).await,
        }
    }
}

async fn converse(
    stream: TcpStream,
    page: WritePage,
    hosts: Arc<[String]>,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (page, hosts) = (Arc::clone(&page), Arc::clone(&hosts));
        async move { Ok::<_, Infallible>(answer(&request, &page, &hosts).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A reader that breaks off has lost nothing.
        _ = tokio::time::timeout(LIFE, connection) => {}
        () = stop.cancelled() => {}
    }
}

async fn answer(
    request: &Request<Incoming>,
    page: &WritePage,
    hosts: &[String],
) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, body) = if !names_this_machine(request, hosts) {
        // A web page that points its own name at this machine is no reader.
        (
            StatusCode::FORBIDDEN,
            "text/plain",
            "use localhost or the IP address, or allow the name in agent.yaml under proxy.hosts\n"
                .to_owned(),
        )
    } else if request.uri().path() != "/metrics" {
        (
            StatusCode::NOT_FOUND,
            "text/plain",
            "see /metrics\n".to_owned(),
        )
    } else if !is_read {
        (
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "use GET\n".to_owned(),
        )
    } else {
        (StatusCode::OK, CONTENT_TYPE, page().await)
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
