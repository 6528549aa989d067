//! One list of models over several runtimes, in the language that was asked, honest about who is missing.

use super::support::*;
use dgon_agent::proxy::MISSING_HEADER;
use dgon_agent::runtime::{FoundRuntime, RuntimeKind};
use serde_json::Value;
use std::net::SocketAddr;

async fn get(addr: SocketAddr, path: &str) -> Reply {
    let mut client = Client::connect(addr).await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer mine\r\n\r\n"
    );
    client.send(request.as_bytes()).await;
    client.reply().await
}

fn json(status: &str, body: &[u8]) -> Vec<Step> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    vec![Step::Write([head.as_bytes(), body].concat()), Step::Again]
}

async fn gone() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

fn names(reply: &Reply, list: &str, name: &str) -> Vec<String> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let entries = body[list].as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry[name].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn every_runtime_that_speaks_the_language_has_its_part() {
    let vllm = Upstream::play(json("200 OK", &exchange("vllm_models.json"))).await;
    let ollama = Upstream::play(json("200 OK", &exchange("ollama_v1_models.json"))).await;
    let again = Upstream::play(json("200 OK", &exchange("vllm_models.json"))).await;
    let triton = Upstream::play(json("200 OK", b"{}")).await;
    let sink = MemorySink::open();
    let found = vec![
        runtime(RuntimeKind::Vllm, vllm.addr, "acme/tiny-chat"),
        runtime(RuntimeKind::Triton, triton.addr, "ensemble"),
        runtime(RuntimeKind::Ollama, ollama.addr, "tiny-test:latest"),
        runtime(RuntimeKind::Vllm, again.addr, "acme/tiny-chat"),
    ];
    let running = proxy(found, &sink).await;
    let reply = get(running.addr, "/v1/models").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header(MISSING_HEADER), None);
    assert_eq!(
        names(&reply, "data", "id"),
        [
            "acme/tiny-chat",
            "tiny-chat-sql",
            "tiny-test:latest",
            "acme/embed-mini:v2"
        ]
    );
    // Entries are as the runtimes wrote them.
    let whole = String::from_utf8(exchange("vllm_models.json")).unwrap();
    let entry = whole
        .split_once("\"data\":[")
        .unwrap()
        .1
        .split_once("},{\"id\"")
        .unwrap()
        .0;
    assert!(reply.text().contains(entry));
    let asked = vllm.request().await.to_ascii_lowercase();
    assert!(asked.contains("authorization: bearer mine"));
    assert!(!asked.contains("gzip"), "the answer must be readable");
    assert_eq!(triton.connections(), 0, "it has no such route");
    assert_eq!(sink.all().len(), 0, "a list is no work");
}

#[tokio::test]
async fn tags_are_of_runtimes_that_take_requests_in_that_language() {
    let tags = |name: &str| format!("{{\"models\":[{{\"name\":\"{name}\",\"size\":1}}]}}");
    let one = Upstream::play(json("200 OK", tags("a:1b").as_bytes())).await;
    let two = Upstream::play(json("200 OK", tags("b:1b").as_bytes())).await;
    let vllm = Upstream::play(json("200 OK", b"{}")).await;
    let sink = MemorySink::open();
    let found = vec![
        runtime(RuntimeKind::Vllm, vllm.addr, "m"),
        runtime(RuntimeKind::Ollama, one.addr, "a:1b"),
        runtime(RuntimeKind::Ollama, two.addr, "b:1b"),
    ];
    let running = proxy(found, &sink).await;
    let reply = get(running.addr, "/api/tags").await;
    assert_eq!(names(&reply, "models", "name"), ["a:1b", "b:1b"]);
    assert_eq!(vllm.connections(), 0);
}

#[tokio::test]
async fn who_does_not_answer_is_named() {
    let good = Upstream::play(json("200 OK", &exchange("vllm_models.json"))).await;
    let closed = Upstream::play(json(
        "401 Unauthorized",
        &exchange("vllm_error_unauthorized_401.json"),
    ))
    .await;
    let odd = Upstream::play(json("200 OK", b"<html>")).await;
    let gone = gone().await;
    let sink = MemorySink::open();
    let found = vec![
        runtime(RuntimeKind::Vllm, closed.addr, "x"),
        runtime(RuntimeKind::Vllm, good.addr, "acme/tiny-chat"),
        runtime(RuntimeKind::LlamaCpp, odd.addr, "y"),
        runtime(RuntimeKind::Tgi, gone, "z"),
    ];
    let running = proxy(found, &sink).await;
    let reply = get(running.addr, "/v1/models").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        names(&reply, "data", "id"),
        ["acme/tiny-chat", "tiny-chat-sql"]
    );
    assert_eq!(
        reply.header(MISSING_HEADER).unwrap(),
        format!(
            "vllm at http://{} answered 401; llama.cpp at http://{} did not answer with a list; tgi at http://{gone} cannot be reached",
            closed.addr, odd.addr
        )
    );
}

#[tokio::test]
async fn where_nobody_has_a_list_the_first_word_of_a_runtime_stands() {
    let closed = Upstream::play(json(
        "401 Unauthorized",
        &exchange("vllm_error_unauthorized_401.json"),
    ))
    .await;
    let sink = MemorySink::open();
    let unreachable: FoundRuntime = runtime(RuntimeKind::Tgi, gone().await, "z");
    let running = proxy(
        vec![
            unreachable.clone(),
            runtime(RuntimeKind::Vllm, closed.addr, "x"),
        ],
        &sink,
    )
    .await;
    let reply = get(running.addr, "/v1/models").await;
    assert_eq!(
        (reply.status, reply.body),
        (401, exchange("vllm_error_unauthorized_401.json"))
    );
    let running = proxy(vec![unreachable.clone(), unreachable], &sink).await;
    let reply = get(running.addr, "/v1/models").await;
    assert_eq!(reply.status, 502);
    assert!(
        reply.text().contains("cannot be reached"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn one_model_is_asked_of_its_own_runtime_and_one_runtime_answers_for_itself() {
    let body = exchange("ollama_v1_models.json");
    let ollama = Upstream::play(json("200 OK", &body)).await;
    let vllm = Upstream::play(json("200 OK", b"{\"id\":\"acme/tiny\"}")).await;
    let sink = MemorySink::open();
    let found = vec![
        runtime(RuntimeKind::Ollama, ollama.addr, "llama3.1:latest"),
        runtime(RuntimeKind::Vllm, vllm.addr, "acme/tiny"),
    ];
    let running = proxy(found.clone(), &sink).await;
    let reply = get(running.addr, "/v1/models/acme/tiny").await;
    assert_eq!(reply.text(), "{\"id\":\"acme/tiny\"}");
    let running = proxy(found[..1].to_vec(), &sink).await;
    let reply = get(running.addr, "/v1/models").await;
    assert_eq!(reply.body, body, "not a byte is changed");
}
