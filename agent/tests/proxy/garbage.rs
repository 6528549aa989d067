//! Runtimes that close early or send what nobody should: the client gets what there is, the agent lives, and there
//! is exactly one receipt that says how it went.

use super::support::*;
use dgon_agent::runtime::RuntimeKind;
use dgon_agent_core::facts::{Failure, TokensSource};
use dgon_protocol::receipt::Status;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const END: &[u8] = b"0\r\n\r\n";
const BODY: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
const PATH: &str = "/v1/chat/completions";

fn event(data: &[u8]) -> Vec<u8> {
    chunk(&[b"data: ", data, b"\n\n"].concat())
}

fn token(text: &str) -> Vec<u8> {
    event(format!("{{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}").as_bytes())
}

/// What a runtime sends, what the client gets of it (status, whether it came to its end), what the receipt says.
struct Case {
    what: &'static str,
    sent: Vec<u8>,
    status: u16,
    is_whole: bool,
    outcome: Result<(), Failure>,
    tokens: u64,
}

fn case(
    what: &'static str,
    sent: &[&[u8]],
    status: u16,
    is_whole: bool,
    outcome: Result<(), Failure>,
    tokens: u64,
) -> Case {
    Case {
        what,
        sent: sent.concat(),
        status,
        is_whole,
        outcome,
        tokens,
    }
}

fn cases() -> Vec<Case> {
    let head = HEAD.as_bytes();
    let (one, two) = (token("a"), token("b"));
    let done = event(b"[DONE]");
    let many = "X-Y: z\r\n".repeat(500);
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "y".repeat(1 << 20));
    let cut = Err(Failure::Incomplete);
    vec![
        case("closed at once", &[], 502, true, cut, 0),
        case("closed inside the head", &[&head[..30]], 502, true, cut, 0),
        case("closed after the head", &[head], 200, false, cut, 0),
        case("closed inside an event", &[head, &one, &two[..20]], 200, false, cut, 1),
        case("closed between two chunks", &[head, &one, &two], 200, false, cut, 2),
        case("ended without its mark", &[head, &one, &two, END], 200, true, cut, 2),
        case("a chunk size that is none", &[head, &one, b"zz\r\n"], 200, false, cut, 1),
        case("a chunk size without end", &[head, &one, &[b'0'; 4096]], 200, false, cut, 1),
        case("a chunk larger than memory", &[head, &one, b"fffffffffffffffff\r\nx"], 200, false, cut, 1),
        case("a header line of a megabyte", &[long.as_bytes()], 502, true, cut, 0),
        case("five hundred headers", &[format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes()], 502, true, cut, 0),
        case("another protocol", &[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 502, true, cut, 0),
        case("HTTP/2 to a client of HTTP/1.1", &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 502, true, cut, 0),
        case("events that are no JSON", &[head, &event(b"{{{"), &one, &event(b"nope"), &done, END], 200, true, Ok(()), 1),
        case("JSON of another shape", &[head, &event(b"[1,2]"), &event(b"7"), &event(br#"{"choices":7}"#), &done, END], 200, true, Ok(()), 0),
        case("broken UTF-8", &[head, &event(b"{\"choices\":[{\"delta\":{\"content\":\"\xff\xc3\"}}]}"), &done, END], 200, true, Ok(()), 1),
        case("zeros and control characters", &[head, &chunk(b"\0\0\x07data: \x1b[2J\n\n"), &one, &done, END], 200, true, Ok(()), 1),
        case("counts that are no counts", &[head, &one, &event(br#"{"choices":[],"usage":{"prompt_tokens":-3,"completion_tokens":1e300}}"#), &done, END], 200, true, Ok(()), (1 << 53) - 1),
        case("an error event", &[head, &one, &event(br#"{"error":{"message":"dead","code":500}}"#), &done, END], 200, true, Err(Failure::UpstreamError), 1),
        case(
            "a length that is not kept",
            &[b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{}"],
            200,
            false,
            cut,
            0,
        ),
        case(
            "two lengths",
            &[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}"],
            502,
            true,
            cut,
            0,
        ),
        case(
            "JSON that breaks off",
            &[b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"choices\":["],
            200,
            true,
            cut,
            0,
        ),
    ]
}

#[tokio::test]
async fn whatever_a_runtime_sends_there_is_one_receipt() {
    for case in cases() {
        let what = case.what;
        let upstream = Upstream::play(vec![Step::Write(case.sent)]).await;
        let sink = MemorySink::open();
        let running = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
        let reply = ask(running.addr, PATH, BODY).await;
        assert_eq!(
            (reply.status, reply.is_whole),
            (case.status, case.is_whole),
            "{what}"
        );
        let facts = sink.only().await;
        let status = if case.outcome.is_ok() {
            Status::Ok
        } else {
            Status::Error
        };
        assert_eq!(
            (facts.status, facts.failure),
            (status, case.outcome.err()),
            "{what}"
        );
        assert_eq!(facts.tokens_output, case.tokens, "{what}");
        assert_eq!(running.proxy.in_flight(), 0, "{what}");
        // The next request is served as if nothing had been.
        let next = ask(running.addr, PATH, BODY).await;
        assert_eq!(next.status, case.status, "{what}");
        assert_eq!(sink.wait_for(2).await.len(), 2, "{what}");
    }
}

#[tokio::test]
async fn compressed_answers_pass_and_are_not_counted() {
    // `{"usage":{"prompt_tokens":1}}`, deflated by hand would be no better: the bytes only have to pass.
    let body: Vec<u8> = (0u8..=255).cycle().take(3000).collect();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let upstream = Upstream::play(vec![Step::Write([head.as_bytes(), &body].concat())]).await;
    let sink = MemorySink::open();
    let running = proxy(vec![runtime(RuntimeKind::Vllm, upstream.addr, "m")], &sink).await;
    let mut client = Client::connect(running.addr).await;
    let request = post(PATH, BODY).replace(
        "Host: localhost\r\n",
        "Host: localhost\r\nAccept-Encoding: gzip, br\r\n",
    );
    client.send(request.as_bytes()).await;
    let reply = client.reply().await;
    assert_eq!(reply.body, body);
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    // A runtime that heeds what it is asked does not compress at all.
    let asked = upstream.request().await.to_ascii_lowercase();
    assert!(!asked.contains("accept-encoding"), "{asked}");
    let facts = sink.only().await;
    assert_eq!(
        (facts.status, facts.tokens_source),
        (Status::Ok, TokensSource::Unknown)
    );
}
