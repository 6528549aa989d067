//! Simulated runtimes misbehave exactly as they are told to.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use dgon_testkit::programs::http_client;
use dgon_testkit::runtime::{Faults, Kind, Outcome, SimConfig, SimRuntime};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(20);

fn config(kind: Kind, faults: Faults) -> SimConfig {
    let mut config = SimConfig::new(kind);
    config.answer_tokens = Some(10);
    config.faults = faults;
    config
}

async fn ask(runtime: &SimRuntime, stream: bool) -> reqwest::Response {
    let body = json!({
        "model": runtime.kind().default_model(),
        "messages": [{"role": "user", "content": "hello"}],
        "stream": stream,
    });
    let url = format!("{}/v1/chat/completions", runtime.url());
    http_client()
        .unwrap()
        .post(url)
        .json(&body)
        .send()
        .await
        .unwrap()
}

async fn drain(mut response: reqwest::Response) -> (String, bool) {
    let mut text = Vec::new();
    let whole = loop {
        match response.chunk().await {
            Ok(Some(piece)) => text.extend_from_slice(&piece),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    (String::from_utf8_lossy(&text).into_owned(), whole)
}

fn events(text: &str) -> usize {
    text.matches("data: {").count()
}

#[tokio::test]
async fn cuts_the_connection() {
    let faults = Faults {
        disconnect_after: Some(3),
        ..Faults::default()
    };
    let runtime = SimRuntime::start(config(Kind::TensorRtLlm, faults))
        .await
        .unwrap();
    let (text, whole) = drain(ask(&runtime, true).await).await;
    assert!(!whole, "a cut is an error for the client");
    assert!(events(&text) == 4 && !text.contains("[DONE]"), "{text}");
    let (text, whole) = drain(ask(&runtime, false).await).await;
    assert!(!whole && !text.ends_with('}'), "half a body: {text}");
    let outcomes: Vec<Outcome> = runtime
        .exchanges()
        .iter()
        .map(|exchange| exchange.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Cut, Outcome::Cut]);
}

#[tokio::test]
async fn ends_without_its_terminal_mark() {
    let faults = Faults {
        truncate_after: Some(3),
        ..Faults::default()
    };
    let runtime = SimRuntime::start(config(Kind::TensorRtLlm, faults))
        .await
        .unwrap();
    let (text, whole) = drain(ask(&runtime, true).await).await;
    assert!(whole, "the body ends as it should");
    assert_eq!(events(&text), 4, "the role and three tokens: {text}");
    assert!(
        !text.contains("[DONE]") && !text.contains("finish_reason\":\"stop"),
        "{text}"
    );
}

#[tokio::test]
async fn goes_silent_until_the_client_leaves() {
    let faults = Faults {
        stall_after: Some(2),
        ..Faults::default()
    };
    let runtime = SimRuntime::start(config(Kind::TensorRtLlm, faults))
        .await
        .unwrap();
    let mut response = ask(&runtime, true).await;
    let mut got = String::new();
    while events(&got) < 3 {
        got.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(
        timeout(Duration::from_millis(200), response.chunk())
            .await
            .is_err(),
        "silence"
    );
    assert_eq!((runtime.stats().running, runtime.stats().cancelled), (1, 0));
    drop(response);
    let begin = Instant::now();
    while runtime.stats().cancelled == 0 {
        assert!(begin.elapsed() < LIMIT, "the cancel reaches the runtime");
        tokio::task::yield_now().await;
    }
    assert_eq!(runtime.stats().running, 0);
}

#[tokio::test]
async fn fails_at_its_rate() {
    let faults = Faults {
        error_rate: 0.5,
        ..Faults::default()
    };
    let runtime = SimRuntime::start(config(Kind::LlamaCpp, faults))
        .await
        .unwrap();
    let mut failed = 0;
    for _ in 0..60 {
        failed += u64::from(ask(&runtime, true).await.status() == 500);
    }
    assert_eq!(failed, runtime.stats().failed);
    assert!((15..=45).contains(&failed), "{failed} of 60");
    runtime.set_faults(Faults::default());
    assert_eq!(ask(&runtime, true).await.status(), 200);
}

#[tokio::test]
async fn hides_its_counts() {
    for kind in Kind::OPENAI {
        let faults = Faults {
            no_usage: true,
            ..Faults::default()
        };
        let runtime = SimRuntime::start(config(kind, faults)).await.unwrap();
        let (text, _) = drain(ask(&runtime, true).await).await;
        assert!(
            !text.contains("_tokens\":") && !text.contains("timings"),
            "{kind}: {text}"
        );
    }
}

#[tokio::test]
async fn loads_as_each_kind_does() {
    let loading = |kind| {
        let mut config = config(kind, Faults::default());
        config.loading = Duration::from_millis(700);
        config
    };
    let ollama = SimRuntime::start(loading(Kind::Ollama)).await.unwrap();
    let llama = SimRuntime::start(loading(Kind::LlamaCpp)).await.unwrap();
    let vllm = SimRuntime::start(loading(Kind::Vllm)).await.unwrap();
    let http = http_client().unwrap();
    // vLLM does not listen yet, llama-server says 503 on every path, Ollama is up.
    assert!(
        http.get(format!("{}/health", vllm.url()))
            .send()
            .await
            .unwrap_err()
            .is_connect()
    );
    assert_eq!(
        http.get(format!("{}/v1/models", llama.url()))
            .send()
            .await
            .unwrap()
            .status(),
        503
    );
    assert_eq!(http.get(ollama.url()).send().await.unwrap().status(), 200);
    // The first answer of Ollama includes the load, and says so.
    let body = json!({"model": "sim-chat:1b", "prompt": "hello", "stream": false});
    let answer = http
        .post(format!("{}/api/generate", ollama.url()))
        .json(&body)
        .send()
        .await
        .unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert!(
        answer["load_duration"].as_u64().unwrap() > 100_000_000,
        "{answer}"
    );
    let begin = Instant::now();
    while http
        .get(format!("{}/health", vllm.url()))
        .send()
        .await
        .is_err()
    {
        assert!(begin.elapsed() < LIMIT, "vLLM gets ready");
        tokio::task::yield_now().await;
    }
    assert_eq!(
        http.get(format!("{}/health", llama.url()))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn ollama_refuses_a_foreign_host_and_llama_closes_old_connections() {
    let ollama = SimRuntime::start(config(Kind::Ollama, Faults::default()))
        .await
        .unwrap();
    let http = http_client().unwrap();
    let foreign = http
        .get(ollama.url())
        .header("host", "node.example.com")
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), 403);
    assert_eq!(foreign.text().await.unwrap(), "");
    for local in [
        "localhost:1",
        "127.0.0.1",
        "[::1]:11434",
        "gpu.internal",
        "192.168.1.9:80",
    ] {
        let answer = http
            .get(ollama.url())
            .header("host", local)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{local}");
    }
    let llama = SimRuntime::start(config(Kind::LlamaCpp, Faults::default()))
        .await
        .unwrap();
    let keeping = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(1)
        .build()
        .unwrap();
    for number in 1..=101 {
        let answer = keeping
            .get(format!("{}/health", llama.url()))
            .send()
            .await
            .unwrap();
        let closes = answer
            .headers()
            .get("connection")
            .is_some_and(|value| value == "close");
        assert_eq!(closes, number == 100, "request {number}");
        answer.bytes().await.unwrap();
    }
}
