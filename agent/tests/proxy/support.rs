//! A runtime that plays a script over a real socket, a sink that keeps receipts in memory, and raw clients.

use dgon_agent::proxy::{Proxy, ReceiptSink, Settings, SinkError};
use dgon_agent::runtime::{Endpoint, FoundRuntime, Registry, RuntimeKind};
use dgon_agent_core::facts::RequestFacts;
use dgon_protocol::frame::Model;
use dgon_protocol::id::RequestId;
use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Longest that any test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a future that must come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it did not happen in time")
}

/// An example exchange.
pub(crate) fn exchange(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testkit/exchanges")
        .join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A sink that keeps what it gets, and can be made to wait or to fail.
pub(crate) struct MemorySink {
    facts: watch::Sender<Vec<RequestFacts>>,
    gate: Semaphore,
    is_gated: bool,
    fails: Mutex<Option<fn() -> SinkError>>,
    not_ready: Mutex<Option<fn() -> SinkError>>,
    ids: AtomicU64,
}

impl MemorySink {
    fn with(is_gated: bool) -> Arc<Self> {
        Arc::new(Self {
            facts: watch::channel(Vec::new()).0,
            gate: Semaphore::new(0),
            is_gated,
            fails: Mutex::default(),
            not_ready: Mutex::default(),
            ids: AtomicU64::new(0),
        })
    }

    /// One that records at once.
    pub(crate) fn open() -> Arc<Self> {
        Self::with(false)
    }

    /// One that records only when [`Self::let_one`] says so.
    pub(crate) fn gated() -> Arc<Self> {
        Self::with(true)
    }

    pub(crate) fn let_one(&self) {
        self.gate.add_permits(1);
    }

    pub(crate) fn fail_with(&self, error: fn() -> SinkError) {
        *self.fails.lock().unwrap() = Some(error);
    }

    pub(crate) fn not_ready(&self, error: fn() -> SinkError) {
        *self.not_ready.lock().unwrap() = Some(error);
    }

    pub(crate) fn all(&self) -> Vec<RequestFacts> {
        self.facts.borrow().clone()
    }

    /// Waits until there are `count` receipts.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<RequestFacts> {
        let mut facts = self.facts.subscribe();
        let all = soon(facts.wait_for(|all| all.len() >= count)).await;
        all.expect("the sink is alive").clone()
    }

    /// The one receipt there must be.
    pub(crate) async fn only(&self) -> RequestFacts {
        let all = self.wait_for(1).await;
        assert_eq!(all.len(), 1, "one request, one receipt");
        all.into_iter().next().expect("there is one")
    }
}

impl ReceiptSink for MemorySink {
    fn room(&self) -> Result<u64, SinkError> {
        match *self.not_ready.lock().unwrap() {
            Some(error) => Err(error()),
            None => Ok(u64::MAX),
        }
    }

    fn full(&self) -> SinkError {
        SinkError::Full {
            receipts: 0,
            bytes: 0,
        }
    }

    fn next_request_id(&self) -> RequestId {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        RequestId::generate(1_795_256_100_000, u128::from(number))
    }

    fn record(&self, facts: RequestFacts) -> BoxFuture<'_, Result<u64, SinkError>> {
        Box::pin(async move {
            if self.is_gated {
                self.gate.acquire().await.expect("open").forget();
            }
            if let Some(error) = *self.fails.lock().unwrap() {
                return Err(error());
            }
            let mut seq = 0;
            self.facts.send_modify(|all| {
                all.push(facts);
                seq = all.len() as u64;
            });
            Ok(seq)
        })
    }
}

/// What a scripted runtime does with a connection, once a request is in.
#[derive(Clone)]
pub(crate) enum Step {
    /// Writes these bytes, in one write.
    Write(Vec<u8>),
    /// Waits for [`Upstream::go_on`].
    Wait,
    /// Waits until the other side closes, then tells [`Upstream::closed`].
    UntilClosed,
    /// Takes the next request on the same connection and starts over.
    Again,
}

/// A runtime that plays a script over real sockets.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    requests: Mutex<mpsc::UnboundedReceiver<Vec<u8>>>,
    closed: Mutex<mpsc::UnboundedReceiver<()>>,
    go_on: Arc<Semaphore>,
    connections: Arc<AtomicU64>,
}

impl Upstream {
    /// Starts one that plays `script` on each connection.
    pub(crate) async fn play(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (requests_out, requests) = mpsc::unbounded_channel();
        let (closed_out, closed) = mpsc::unbounded_channel();
        let go_on = Arc::new(Semaphore::new(0));
        let connections = Arc::new(AtomicU64::new(0));
        let (permits, count) = (Arc::clone(&go_on), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let play = play(
                    stream,
                    script.clone(),
                    requests_out.clone(),
                    closed_out.clone(),
                    Arc::clone(&permits),
                );
                tokio::spawn(play);
            }
        });
        Self {
            addr,
            requests: Mutex::new(requests),
            closed: Mutex::new(closed),
            go_on,
            connections,
        }
    }

    /// The next request, head and body as they came.
    #[expect(clippy::await_holding_lock, reason = "one test reads at a time")]
    pub(crate) async fn request(&self) -> String {
        let mut requests = self.requests.lock().unwrap();
        let request = soon(requests.recv()).await.expect("the runtime plays on");
        String::from_utf8(request).unwrap()
    }

    /// Waits until the proxy closed a connection.
    #[expect(clippy::await_holding_lock, reason = "one test reads at a time")]
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.lock().unwrap();
        soon(closed.recv()).await.expect("the runtime plays on");
    }

    pub(crate) fn go_on(&self) {
        self.go_on.add_permits(1);
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn play(
    mut stream: TcpStream,
    script: Vec<Step>,
    requests: mpsc::UnboundedSender<Vec<u8>>,
    closed: mpsc::UnboundedSender<()>,
    permits: Arc<Semaphore>,
) {
    stream.set_nodelay(true).unwrap();
    'requests: loop {
        let Some(request) = read_request(&mut stream).await else {
            return;
        };
        requests.send(request).ok();
        for step in &script {
            match step {
                Step::Write(bytes) => {
                    if stream.write_all(bytes).await.is_err() {
                        closed.send(()).ok();
                        return;
                    }
                }
                Step::Wait => permits.acquire().await.expect("open").forget(),
                Step::UntilClosed => {
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).await.ok();
                    closed.send(()).ok();
                    return;
                }
                Step::Again => continue 'requests,
            }
        }
        return;
    }
}

/// Reads a request with a `content-length` body or none.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |value| value.trim().parse().unwrap());
            if request.len() >= end + 4 + length {
                return Some(request);
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}

/// How a scripted answer frames its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Chunked,
    Length,
    UntilClose,
}

/// The writes of a whole answer whose body comes in pieces of `step` bytes.
pub(crate) fn answer(wire: Wire, content_type: &str, body: &[u8], step: usize) -> Vec<Step> {
    let mut head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nX-Kept: yes\r\n");
    match wire {
        Wire::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
        Wire::Length => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
        Wire::UntilClose => head.push_str("Connection: close\r\n"),
    }
    head.push_str("\r\n");
    let mut script = vec![Step::Write(head.into_bytes())];
    for piece in body.chunks(step.max(1)) {
        script.push(Step::Write(match wire {
            Wire::Chunked => chunk(piece),
            Wire::Length | Wire::UntilClose => piece.to_vec(),
        }));
    }
    match wire {
        Wire::Chunked => {
            script.push(Step::Write(b"0\r\n\r\n".to_vec()));
            script.push(Step::Again);
        }
        Wire::Length => script.push(Step::Again),
        Wire::UntilClose => {}
    }
    script
}

/// One chunk of a chunked body.
pub(crate) fn chunk(piece: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", piece.len()).into_bytes();
    bytes.extend_from_slice(piece);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// A runtime at `addr` that has `model`.
pub(crate) fn runtime(kind: RuntimeKind, addr: SocketAddr, model: &str) -> FoundRuntime {
    let endpoint = Endpoint::new(addr.ip().to_string(), addr.port());
    let mut found = FoundRuntime::new(kind, endpoint);
    found.models = vec![Model {
        id: model.to_owned(),
        digest: Some(format!("sha256:{}", "ab".repeat(32))),
        size_bytes: None,
        loaded: Some(true),
    }];
    found
}

/// A proxy on a port of its own.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) shutdown: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn settings() -> Settings {
    Settings::with_hash_key([7; 32])
}

pub(crate) async fn proxy(found: Vec<FoundRuntime>, sink: &Arc<MemorySink>) -> Running {
    proxy_with(found, sink, settings()).await
}

pub(crate) async fn proxy_with(
    found: Vec<FoundRuntime>,
    sink: &Arc<MemorySink>,
    settings: Settings,
) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sink: Arc<dyn ReceiptSink> = Arc::clone(sink) as Arc<dyn ReceiptSink>;
    let proxy = Proxy::new(Registry::fixed(found), sink, settings);
    let shutdown = CancellationToken::new();
    tokio::spawn(Arc::clone(&proxy).serve(listener, shutdown.clone()));
    Running {
        addr,
        proxy,
        shutdown,
    }
}

/// A client on a raw socket.
pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes that came and were not read yet.
    pub(crate) got: Vec<u8>,
}

/// An answer as a client reads it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end by its own framing.
    pub(crate) is_whole: bool,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            got: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends, or says that the connection is closed.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads at most `most` bytes and forgets them; nothing where the connection is closed.
    pub(crate) async fn read_some(&mut self, most: usize) {
        let mut bytes = vec![0; most];
        let _ = self.stream.read(&mut bytes).await;
    }

    /// Whether the proxy has closed the connection, once it has nothing more to say.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut rest = [0; 1024];
        soon(async {
            loop {
                match self.stream.read(&mut rest).await {
                    Ok(0) | Err(_) => return true,
                    Ok(_) => {}
                }
            }
        })
        .await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) {
        self.send(post(path, body).as_bytes()).await;
    }

    /// Waits until `needle` has come.
    pub(crate) async fn until(&mut self, needle: &str) {
        soon(async {
            while !String::from_utf8_lossy(&self.got).contains(needle) {
                let count = self.stream.read_buf(&mut self.got).await.unwrap();
                assert_ne!(count, 0, "closed before {needle:?}: {}", self.so_far());
            }
        })
        .await;
    }

    /// Waits until nothing more comes for a while; for proving that something does not come.
    pub(crate) async fn settle(&mut self) {
        self.settle_for(Duration::from_millis(150)).await;
    }

    /// Reads what comes until nothing does for so long.
    pub(crate) async fn settle_for(&mut self, quiet: Duration) {
        while let Ok(Ok(count)) =
            tokio::time::timeout(quiet, self.stream.read_buf(&mut self.got)).await
        {
            if count == 0 {
                return;
            }
        }
    }

    pub(crate) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.got).into_owned()
    }

    /// Reads one answer to its end.
    pub(crate) async fn reply(&mut self) -> Reply {
        self.reply_within(PATIENCE).await
    }

    pub(crate) async fn reply_within(&mut self, patience: Duration) -> Reply {
        let reading = async {
            loop {
                if let Some((reply, used)) = parse(&self.got, false) {
                    self.got.drain(..used);
                    return reply;
                }
                if self.stream.read_buf(&mut self.got).await.unwrap_or(0) == 0 {
                    let (reply, _) = parse(&self.got, true).expect("an answer");
                    return reply;
                }
            }
        };
        tokio::time::timeout(patience, reading)
            .await
            .expect("it did not come in time")
    }
}

pub(crate) fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One request, one answer.
pub(crate) async fn ask(addr: SocketAddr, path: &str, body: &str) -> Reply {
    let mut client = Client::connect(addr).await;
    client.post(path, body).await;
    client.reply().await
}

/// Reads an answer out of `bytes`; `None` while it is not there yet and the connection is open.
fn parse(bytes: &[u8], is_closed: bool) -> Option<(Reply, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut reply = Reply {
        status,
        head,
        body: Vec::new(),
        is_whole: false,
    };
    let rest = &bytes[end + 4..];
    if reply.header("transfer-encoding") == Some("chunked") {
        let (body, used, is_whole) = unchunk(rest);
        reply.body = body;
        reply.is_whole = is_whole;
        return (is_whole || is_closed).then_some((reply, end + 4 + used));
    }
    if let Some(length) = reply.header("content-length") {
        let length: usize = length.parse().ok()?;
        reply.is_whole = rest.len() >= length;
        reply.body = rest[..length.min(rest.len())].to_vec();
        let used = end + 4 + reply.body.len();
        return (reply.is_whole || is_closed).then_some((reply, used));
    }
    reply.body = rest.to_vec();
    reply.is_whole = is_closed;
    is_closed.then_some((reply, bytes.len()))
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, usize, bool) {
    let all = rest.len();
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, all, false);
        };
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let from = line + 2;
        if rest.len() < from + size + 2 {
            return (body, all, false);
        }
        body.extend_from_slice(&rest[from..from + size]);
        rest = &rest[from + size + 2..];
        if size == 0 {
            return (body, all - rest.len(), true);
        }
    }
}
