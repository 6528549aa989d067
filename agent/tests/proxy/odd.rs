//! The odd exchanges of `testkit/exchanges/odd`, played through the agent's proxy and without it: the bytes that a
//! client gets, those that the runtimes get, and the receipt.

use super::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_agent::runtime::{FoundRuntime, RuntimeKind};
use dgon_agent_core::facts::RequestFacts;
use dgon_protocol::frame::Model;
use dgon_testkit::odd::{OddEnding, OddExchange, load};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// One exchange whose request is odd. `exchanges/odd/README.md` describes the format.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(rename = "why")]
    _why: String,
    runtimes: Vec<Server>,
    request: Asked,
    expect: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    kind: String,
    models: Vec<String>,
    #[serde(default)]
    remote_models: Vec<String>,
    /// To the first request, the second, …; the last one to all after it.
    #[serde(default)]
    answers: Vec<Said>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default = "post_method")]
    method: String,
    target: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Which runtime gets the request.
    #[serde(default)]
    served_by: usize,
    /// The bodies that it gets, where they are not the client's.
    sent: Option<Vec<String>>,
    /// The one of its answers that the client gets.
    #[serde(default)]
    answer: usize,
    /// What that answer loses on its way.
    #[serde(default)]
    dropped: String,
    /// Headers that are not the runtime's.
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// Absent where there is none.
    receipt: Option<Receipt>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    status: String,
    error: Option<String>,
    runtime: String,
    model_id: String,
    /// Whether it names the digest of the model, which every listed model has.
    #[serde(default)]
    has_hash: bool,
    #[serde(default)]
    tokens_input: u64,
    #[serde(default)]
    tokens_output: u64,
    tokens_source: String,
}

fn ok() -> u16 {
    200
}

fn post_method() -> String {
    "POST".to_owned()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testkit/exchanges/odd")
}

fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = std::fs::read_dir(folder().join("requests"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let case: Case = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(path.file_stem().unwrap(), case.name.as_str());
            case
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// A server that gives its answers in turn and keeps the requests.
struct Scripted {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Scripted {
    async fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let port = addr.port().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answers, seen, port) = (answers.clone(), Arc::clone(&seen), port.clone());
                tokio::spawn(async move {
                    while let Some(request) = read_request(&mut stream).await {
                        let number = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(request);
                            seen.len() - 1
                        };
                        let Some(answer) = answers.get(number).or(answers.last()) else {
                            return;
                        };
                        let answer = String::from_utf8_lossy(answer).replace("{port}", &port);
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { addr, requests }
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        let requests = self.requests.lock().unwrap();
        let body = |request: &Vec<u8>| {
            let end = request.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            request[end + 4..].to_vec()
        };
        requests.iter().map(body).collect()
    }
}

impl Said {
    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Said\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        [head.as_bytes(), self.body.as_bytes()].concat()
    }
}

impl Asked {
    fn body(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(coded)) => STANDARD.decode(coded).unwrap(),
            (None, None) => Vec::new(),
            (Some(_), Some(_)) => panic!("one body, not two"),
        }
    }
}

fn raw(method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

async fn send(addr: SocketAddr, request: &[u8]) -> Reply {
    let mut client = Client::connect(addr).await;
    client.send(request).await;
    client.reply().await
}

fn found(kind: &str, addr: SocketAddr, models: &[String], remote: &[String]) -> FoundRuntime {
    // Receipts call two kinds by one name; the files use the names of agent.yaml.
    let kind = RuntimeKind::named(kind).unwrap_or_else(|| panic!("{kind} is no kind of runtime"));
    let mut found = runtime(kind, addr, "");
    let named = |id: &String| Model {
        id: id.clone(),
        digest: Some(format!("sha256:{}", "ab".repeat(32))),
        size_bytes: None,
        loaded: Some(true),
    };
    found.models = models.iter().map(named).collect();
    found.remote_models = remote.to_vec();
    found
}

fn receipt(facts: &RequestFacts) -> Receipt {
    Receipt {
        status: facts.status.as_str().to_owned(),
        error: facts.failure.map(|failure| failure.as_str().to_owned()),
        runtime: facts.runtime.clone().unwrap_or_default(),
        model_id: facts.model_id.clone(),
        has_hash: facts.model_hash.is_some(),
        tokens_input: facts.tokens_input,
        tokens_output: facts.tokens_output,
        tokens_source: facts.tokens_source.as_str().to_owned(),
    }
}

fn without(body: &[u8], dropped: &str) -> Vec<u8> {
    if dropped.is_empty() {
        return body.to_vec();
    }
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(text.matches(dropped).count(), 1);
    text.replace(dropped, "").into_bytes()
}

/// What a case came to that it should not have.
async fn play(case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    let request = raw(
        &case.request.method,
        &case.request.target,
        &case.request.headers,
        &case.request.body(),
    );
    let mut servers = Vec::new();
    let mut runtimes = Vec::new();
    for one in &case.runtimes {
        let server = Scripted::start(one.answers.iter().map(Said::bytes).collect()).await;
        runtimes.push(found(
            &one.kind,
            server.addr,
            &one.models,
            &one.remote_models,
        ));
        servers.push(server);
    }
    let sink = MemorySink::open();
    let running = proxy(runtimes, &sink).await;
    let reply = send(running.addr, &request).await;

    let expect = &case.expect;
    let said = &case.runtimes[expect.served_by].answers[expect.answer];
    let direct = Scripted::start(vec![said.bytes()]).await;
    let plain = send(direct.addr, &request).await;
    let mut differs = |what: &str, is: String, should: String| {
        if is != should {
            wrong.push(format!("{what}: {is} instead of {should}"));
        }
    };
    differs("status", reply.status.to_string(), plain.status.to_string());
    let body = without(&plain.body, &expect.dropped);
    differs(
        "body",
        reply.text(),
        String::from_utf8_lossy(&body).into_owned(),
    );
    for (name, _) in said.headers.iter().filter(|(name, _)| {
        !expect
            .headers
            .iter()
            .any(|(other, _)| name.eq_ignore_ascii_case(other))
    }) {
        let port = (
            direct.addr.port().to_string(),
            servers[expect.served_by].addr.port().to_string(),
        );
        let plain = plain
            .header(name)
            .unwrap_or_default()
            .replace(&port.0, &port.1);
        differs(
            name,
            reply.header(name).unwrap_or_default().to_owned(),
            plain,
        );
    }
    for (name, value) in &expect.headers {
        differs(
            name,
            reply.header(name).unwrap_or_default().to_owned(),
            value.clone(),
        );
    }
    for (at, server) in servers.iter().enumerate() {
        let sent = match &expect.sent {
            _ if at != expect.served_by => Vec::new(),
            Some(bodies) => bodies
                .iter()
                .map(|body| body.clone().into_bytes())
                .collect(),
            None => vec![case.request.body()],
        };
        differs(
            &format!("sent to runtime {at}"),
            format!(
                "{:?}",
                server
                    .bodies()
                    .iter()
                    .map(|b| String::from_utf8_lossy(b).into_owned())
                    .collect::<Vec<_>>()
            ),
            format!(
                "{:?}",
                sent.iter()
                    .map(|b| String::from_utf8_lossy(b).into_owned())
                    .collect::<Vec<_>>()
            ),
        );
        let line = format!(
            "{} {} HTTP/1.1\r\n",
            case.request.method, case.request.target
        );
        for request in server.requests.lock().unwrap().iter() {
            let first = request[..line.len().min(request.len())].to_vec();
            differs(
                "request line",
                String::from_utf8_lossy(&first).into_owned(),
                line.clone(),
            );
        }
    }
    // An answer ends only when its receipt is there, and one that has none leaves none behind.
    let receipts: Vec<_> = sink.all().iter().map(receipt).collect();
    let should: Vec<_> = expect.receipt.iter().collect();
    differs("receipts", format!("{receipts:?}"), format!("{should:?}"));
    wrong
}

#[tokio::test]
async fn odd_requests_are_served_as_without_the_agent_and_leave_the_receipt_they_must() {
    let cases = cases();
    assert!(cases.len() >= 30, "{} cases are left", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        for one in play(case).await {
            wrong.push(format!("{}: {one}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_runtime_that_refuses_to_be_asked_for_usage_is_asked_once() {
    let said = |status, body: &str| Said {
        status,
        headers: Vec::new(),
        body: body.to_owned(),
    };
    let stream = said(200, "data: {\"choices\":[]}\n\ndata: [DONE]\n\n");
    let server = Scripted::start(vec![said(422, "{}").bytes(), stream.bytes()]).await;
    let sink = MemorySink::open();
    let found = found("vllm", server.addr, &["m".to_owned()], &[]);
    let running = proxy(vec![found], &sink).await;
    let body = r#"{"model":"m","stream":true}"#;
    for _ in 0..3 {
        let reply = ask(running.addr, "/v1/chat/completions", body).await;
        assert_eq!((reply.status, reply.text()), (200, stream.body.clone()));
    }
    let bodies = server.bodies();
    let asked = bodies.iter().map(|sent| sent == body.as_bytes());
    assert_eq!(asked.collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!(sink.all().len(), 3, "one receipt for each request");
}

#[tokio::test]
async fn a_refusal_without_end_is_not_waited_for() {
    let endless = format!(
        "HTTP/1.1 422 Said\r\nContent-Length: {}\r\n\r\n{}",
        1 << 30,
        "x".repeat(1 << 20)
    );
    let answer = Said {
        status: 200,
        headers: Vec::new(),
        body: "data: [DONE]\n\n".to_owned(),
    };
    let server = Scripted::start(vec![endless.into_bytes(), answer.bytes()]).await;
    let sink = MemorySink::open();
    let found = found("vllm", server.addr, &["m".to_owned()], &[]);
    let running = proxy(vec![found], &sink).await;
    let body = r#"{"model":"m","stream":true}"#;
    let reply = ask(running.addr, "/v1/chat/completions", body).await;
    assert_eq!((reply.status, reply.text()), (200, answer.body));
    sink.only().await;
}

/// The head of an answer, and its pieces in chunks.
fn writes(exchange: &OddExchange) -> Vec<Step> {
    let mut head = format!(
        "HTTP/1.1 {} Said\r\nTransfer-Encoding: chunked\r\n",
        exchange.answer.status
    );
    for (name, value) in &exchange.answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut steps = vec![Step::Write(head.into_bytes())];
    let pieces = exchange
        .answer
        .chunks
        .iter()
        .map(|piece| piece.bytes().unwrap());
    steps.extend(
        pieces
            .filter(|piece| !piece.is_empty())
            .map(|piece| Step::Write(chunk(&piece))),
    );
    if exchange.answer.ending == OddEnding::Complete {
        steps.extend([Step::Write(b"0\r\n\r\n".to_vec()), Step::Again]);
    }
    steps
}

fn kind_of(name: &str) -> &str {
    match name {
        "openai-compatible" => "openai",
        other => other,
    }
}

async fn play_answer(exchange: &OddExchange) -> Vec<String> {
    let asked = &exchange.request;
    let request = raw(
        &asked.method,
        &asked.target,
        &asked.headers,
        &asked.body().unwrap(),
    );
    let upstream = Upstream::play(writes(exchange)).await;
    let plain = send(upstream.addr, &request).await;
    let sink = MemorySink::open();
    let found = vec![found(
        kind_of(&exchange.runtime),
        upstream.addr,
        &exchange.models,
        &[],
    )];
    let running = proxy(found, &sink).await;
    let reply = send(running.addr, &request).await;
    let facts = sink.only().await;
    let mut wrong = Vec::new();
    let mut differs = |what: &str, is: String, should: String| {
        if is != should {
            wrong.push(format!("{what}: {is} instead of {should}"));
        }
    };
    let expect = &exchange.expect;
    if expect.dropped.is_none() && reply.body != plain.body
        || reply.body != exchange.released_body().unwrap()
    {
        differs(
            "body",
            format!("{} bytes", reply.body.len()),
            "those of the runtime".to_owned(),
        );
    }
    differs("status", reply.status.to_string(), plain.status.to_string());
    differs(
        "receipt status",
        facts.status.as_str().to_owned(),
        expect.status.clone(),
    );
    let error = facts.failure.map(|failure| failure.as_str().to_owned());
    differs("error", format!("{error:?}"), format!("{:?}", expect.error));
    let counts = (facts.tokens_input, facts.tokens_output, facts.tokens_cached);
    let should = (
        expect.tokens_input,
        expect.tokens_output,
        expect.tokens_cached,
    );
    differs("counts", format!("{counts:?}"), format!("{should:?}"));
    differs(
        "tokens_source",
        facts.tokens_source.as_str().to_owned(),
        expect
            .tokens_source
            .clone()
            .unwrap_or_else(|| "none".to_owned()),
    );
    differs("model_id", facts.model_id.clone(), expect.model_id.clone());
    let in_receipts = |name: &str| RuntimeKind::named(kind_of(name)).unwrap().as_str();
    let runtime = expect
        .runtime
        .clone()
        .unwrap_or_else(|| in_receipts(&exchange.runtime).to_owned());
    differs(
        "runtime",
        facts.runtime.clone().unwrap_or_default(),
        runtime,
    );
    wrong
}

#[tokio::test]
async fn odd_answers_pass_unchanged_and_leave_the_receipt_they_must() {
    let mut wrong = Vec::new();
    for exchange in load(&folder()).unwrap() {
        for one in play_answer(&exchange).await {
            wrong.push(format!("{}: {one}", exchange.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
