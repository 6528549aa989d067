//! What a client gets through the proxy equals what the runtime sent, for every runtime and both streaming forms.
//!
//! One exception is by design: where the client did not ask an OpenAI stream for its usage, the proxy did, and
//! keeps the one extra event to itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use crate::common::{Stack, until};
use dgon_testkit::runtime::{Exchange, Kind, SimConfig};
use serde_json::{Value, json};

fn model(kind: Kind) -> String {
    format!("{}-model", kind.as_str().replace('.', "-"))
}

fn config(kind: Kind) -> SimConfig {
    let mut config = SimConfig::new(kind);
    config.models = vec![model(kind)];
    config.answer_tokens = Some(40);
    config
}

/// Requests of one runtime: path and body. `marker` tells them apart.
fn requests(kind: Kind, marker: &str) -> Vec<(&'static str, Value)> {
    let model = model(kind);
    let messages = json!([{"role": "user", "content": marker}]);
    let chat = |rest: Value| {
        let mut body = json!({"model": model, "messages": messages});
        body.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        body
    };
    if kind == Kind::Triton {
        let body = json!({"text_input": marker, "max_tokens": 9});
        return vec![
            ("/v2/models/triton-model/generate", body.clone()),
            ("/v2/models/triton-model/versions/1/generate_stream", body),
        ];
    }
    let mut all = vec![
        ("/v1/chat/completions", chat(json!({}))),
        ("/v1/chat/completions", chat(json!({"stream": true}))),
        (
            "/v1/chat/completions",
            chat(json!({"stream": true, "stream_options": {"include_usage": true}})),
        ),
        (
            "/v1/completions",
            json!({"model": model, "prompt": marker, "max_tokens": 9}),
        ),
        (
            "/v1/completions",
            json!({"model": model, "prompt": marker, "max_tokens": 9, "stream": true, "stream_options": {"include_usage": true}}),
        ),
    ];
    match kind {
        Kind::Ollama => all.extend([
            ("/api/chat", chat(json!({}))),
            ("/api/chat", chat(json!({"stream": false}))),
            ("/api/generate", json!({"model": model, "prompt": marker})),
            ("/api/embed", json!({"model": model, "input": marker})),
        ]),
        Kind::Tgi => all.extend([
            (
                "/generate",
                json!({"inputs": marker, "parameters": {"details": true}}),
            ),
            (
                "/generate_stream",
                json!({"inputs": marker, "parameters": {"details": true}}),
            ),
        ]),
        Kind::LlamaCpp => all.push(("/completion", json!({"prompt": marker, "n_predict": 9}))),
        Kind::Vllm | Kind::TensorRtLlm | Kind::Triton => {}
    }
    all
}

/// What the client should see of what was sent.
fn expected(exchange: &Exchange, asked: &Value) -> Vec<u8> {
    let wanted_usage = asked["stream_options"]["include_usage"] == Value::Bool(true);
    if asked["stream"] != Value::Bool(true) || wanted_usage {
        return exchange.sent.clone();
    }
    let text = String::from_utf8(exchange.sent.clone()).unwrap();
    let extra =
        |event: &&str| !(event.contains("\"choices\":[],") && event.contains("\"usage\":{"));
    text.split_inclusive("\n\n")
        .filter(extra)
        .collect::<String>()
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_pass_unchanged() {
    let stack = Stack::start(Kind::ALL.map(config).to_vec(), "").await;
    let mut sent = 0;
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        let count = requests(kind, "").len();
        for number in 0..count {
            let marker = format!("marker-{index}-{number}-end");
            let (path, body) = requests(kind, &marker).remove(number);
            let (status, got) = stack.ask(path, &body).await;
            let exchange = stack.runtimes[index]
                .exchanges()
                .into_iter()
                .find(|exchange| String::from_utf8_lossy(&exchange.request).contains(&marker));
            let exchange = exchange.unwrap_or_else(|| {
                panic!(
                    "{kind} {path}: never reached the runtime: {status} {}",
                    String::from_utf8_lossy(&got)
                )
            });
            let wanted = expected(&exchange, &body);
            assert_eq!(status, exchange.status, "{kind} {path}");
            assert_eq!(
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(&wanted),
                "{kind} {path} {body}"
            );
            sent += 1;
        }
    }
    // Every one of them is in the store, as the runtime's own, with its counts known.
    let session = stack.session().await;
    let (rows, _) = until("all receipts", || async {
        let rows = session.receipts("source=local").await.unwrap();
        (rows.len() == sent).then_some(rows)
    })
    .await;
    // Two servers of TensorRT-LLM have one name in receipts.
    let alike = |kind: Kind| {
        Kind::ALL
            .into_iter()
            .enumerate()
            .filter(move |(_, other)| other.in_receipts() == kind.in_receipts())
    };
    for kind in Kind::ALL {
        let own = rows
            .iter()
            .filter(|row| row["runtime"].as_str() == Some(kind.in_receipts()));
        let asked: usize = alike(kind).map(|(_, kind)| requests(kind, "").len()).sum();
        assert_eq!(own.count(), asked, "{kind}");
    }
    // Probes count in the runtime too, so they count here.
    until(
        "as many tokens in the receipts as in the runtimes",
        || async {
            let rows = session.receipts("").await.unwrap();
            let agrees = |kind: Kind| {
                let own = rows
                    .iter()
                    .filter(|row| row["runtime"].as_str() == Some(kind.in_receipts()));
                let told: u64 = own.map(|row| row["tokens_output"].as_u64().unwrap()).sum();
                let made =
                    alike(kind).map(|(index, _)| stack.runtimes[index].stats().output_tokens);
                told == made.sum::<u64>()
            };
            Kind::ALL.into_iter().all(agrees).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_cancels_the_runtime() {
    let mut slow = config(Kind::Vllm);
    (slow.tokens_per_second, slow.answer_tokens) = (Some(20.0), Some(2000));
    let stack = Stack::start(vec![slow], "").await;
    let body = crate::common::chat(&model(Kind::Vllm), "a long one", true);
    let mut response = stack
        .http
        .post(format!("{}/v1/chat/completions", stack.agent.url()))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    until("the runtime sees it", || async {
        (stack.runtimes[0].stats().cancelled == 1).then_some(())
    })
    .await;
    let session = stack.session().await;
    let (row, _) = until("the receipt", || async {
        session
            .receipts("source=local")
            .await
            .unwrap()
            .into_iter()
            .next()
    })
    .await;
    assert_eq!(row["status"].as_str(), Some("cancelled"), "{row}");
}
