//! `dgon-bare-proxy LISTEN RUNTIME`: the least that a proxy made of tokio and hyper can be; the floor of the figures.
//!
//! It passes requests and answers on as they come. Nothing is read, counted, limited or timed, and one runtime is
//! all it knows. What it adds is what the agent's proxy cannot go below as long as it is made of the same library. Like the
//! agent's, it serves a client's connection and the runtime's behind it on one thread.

use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

const THREADS: usize = 2;

/// The runtime's connection behind one client's.
type Behind = Rc<RefCell<Option<SendRequest<Incoming>>>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut address = |what| -> Result<SocketAddr> {
        let given = arguments
            .next()
            .with_context(|| format!("{what} is missing"))?;
        given
            .parse()
            .with_context(|| format!("{what} {given:?} is no address"))
    };
    let (listen, runtime) = (address("LISTEN")?, address("RUNTIME")?);
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let (send, receive) = unbounded_channel();
        threads.push(send);
        std::thread::spawn(move || worker(receive, runtime));
    }
    local_runtime()?.block_on(accept(listen, &threads))
}

fn local_runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_io().build()?)
}

/// Hands the connections out in turns.
async fn accept(
    listen: SocketAddr,
    threads: &[UnboundedSender<std::net::TcpStream>],
) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    for thread in threads.iter().cycle() {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        thread.send(stream.into_std()?)?;
    }
    Ok(())
}

/// Serves connections until the process ends.
fn worker(
    mut connections: UnboundedReceiver<std::net::TcpStream>,
    runtime: SocketAddr,
) -> Result<()> {
    let local = LocalSet::new();
    local.block_on(&local_runtime()?, async move {
        while let Some(stream) = connections.recv().await {
            let stream = TokioIo::new(TcpStream::from_std(stream)?);
            tokio::task::spawn_local(async move {
                let behind = Behind::default();
                let service = service_fn(|request| pass(request, Rc::clone(&behind), runtime));
                let server = hyper::server::conn::http1::Builder::new();
                // A client that hangs up ends its connection; nobody waits for the error.
                let _ = server.serve_connection(stream, service).await;
            });
        }
        Ok(())
    })
}

/// Passes one request on.
async fn pass(
    request: Request<Incoming>,
    behind: Behind,
    runtime: SocketAddr,
) -> Result<Response<Incoming>> {
    let kept = behind.borrow_mut().take().filter(|send| !send.is_closed());
    let mut send = match kept {
        Some(send) => send,
        None => connect(runtime).await?,
    };
    send.ready().await?;
    let answer = send.send_request(request).await?;
    behind.replace(Some(send));
    Ok(answer)
}

async fn connect(runtime: SocketAddr) -> Result<SendRequest<Incoming>> {
    let stream = TcpStream::connect(runtime).await?;
    stream.set_nodelay(true)?;
    let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    Ok(send)
}
