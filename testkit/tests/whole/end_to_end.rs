//! One request through everything that is real: proxy, spool, link, ingest, store, API, offline verification.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use crate::common::{Stack, chat, until};
use dgon_testkit::runtime::{Kind, SimConfig};
use serde_json::Value;

const MODEL: &str = "sim-chat:1b";
const QUESTION: &str = "Tell me of receipts.";

fn runtime() -> SimConfig {
    let mut config = SimConfig::new(Kind::Ollama);
    config.tokens_per_second = Some(400.0);
    config.ttft = std::time::Duration::from_millis(20);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_request_becomes_a_receipt_that_verifies_offline() {
    let stack = Stack::start(vec![runtime()], "").await;
    let session = stack.session().await;
    let (status, body) = stack
        .ask("/v1/chat/completions", &chat(MODEL, QUESTION, true))
        .await;
    let text = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(status, 200, "{text}\n{}", stack.agent.log_tail());
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");

    let (row, took) = until("the receipt in the API", || async {
        session
            .receipts("source=local")
            .await
            .unwrap()
            .into_iter()
            .next()
    })
    .await;
    println!("receipt visible {took:?} after the end of the response");
    let exchange = stack.runtimes[0]
        .exchanges()
        .into_iter()
        .find(|exchange| String::from_utf8_lossy(&exchange.request).contains(QUESTION))
        .unwrap();
    let usage = usage_of(&exchange.sent);
    assert_eq!(row["tokens_input"], usage["prompt_tokens"]);
    assert_eq!(row["tokens_output"], usage["completion_tokens"]);
    assert_eq!(
        (row["status"].as_str(), row["runtime"].as_str()),
        (Some("ok"), Some("ollama"))
    );
    assert_eq!(row["model_id"].as_str(), Some(MODEL));
    assert!(
        !text.contains("\"usage\""),
        "the usage that the client did not ask for stays with the proxy: {text}"
    );

    let id = row["request_id"].as_str().unwrap();
    let detail = session.get(&format!("/receipts/{id}")).await.unwrap();
    let raw = session
        .get_bytes(&format!("/receipts/{id}/raw"))
        .await
        .unwrap();
    assert_eq!(detail["raw"].as_str().unwrap().as_bytes(), raw);
    let good = stack.dir.path().join("receipt.json");
    std::fs::write(&good, &raw).unwrap();
    let forged = stack.dir.path().join("forged.json");
    std::fs::write(
        &forged,
        String::from_utf8(raw)
            .unwrap()
            .replace("\"hedged\":false", "\"hedged\":true"),
    )
    .unwrap();
    let key = detail["public_key"].as_str().unwrap();
    for (file, exit, verdict) in [(&good, 0, "valid"), (&forged, 1, "invalid_signature")] {
        let mut command = stack.agent.command();
        command
            .args(["receipt", "verify", "--json", "--public-key", key])
            .arg(file);
        let output = command.output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (output.status.code(), said["verdict"].as_str()),
            (Some(exit), Some(verdict))
        );
    }
}

/// The last usage in a stream.
fn usage_of(sent: &[u8]) -> Value {
    let text = String::from_utf8_lossy(sent);
    let events = text
        .rsplit("\n\n")
        .filter_map(|event| event.strip_prefix("data: "));
    let values = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    values
        .map(|value| value["usage"].clone())
        .find(Value::is_object)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_becomes_active_by_a_probe_through_its_link() {
    let stack = Stack::start(vec![runtime()], "").await;
    let session = stack.session().await;
    let (node, took) = until("the node is active", || async {
        let nodes = session.get("/nodes").await.unwrap();
        nodes["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|node| node["status"] == "active")
            .cloned()
    })
    .await;
    println!("active after {took:?}");
    let id = node["node_id"].as_str().unwrap();
    let detail = session.get(&format!("/nodes/{id}")).await.unwrap();
    assert_eq!(
        detail["last_probe"]["outcome"].as_str(),
        Some("ok"),
        "{detail}"
    );
    let (probe, _) = until("the probe's receipt", || async {
        session
            .receipts("source=probe")
            .await
            .unwrap()
            .into_iter()
            .next()
    })
    .await;
    assert_eq!(probe["node_id"].as_str(), Some(id));
}

/// An agent that has just started has not looked yet: that is not a node without a runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_starts_again_says_nothing_of_runtimes_before_it_has_looked() {
    let mut stack = Stack::start(vec![runtime()], "").await;
    let session = stack.session().await;
    let nodes = session.get("/nodes").await.unwrap();
    let id = nodes["items"][0]["node_id"].as_str().unwrap().to_owned();
    let path = format!("/nodes/{id}");
    let is = async |connected: bool| {
        until("the node is as it should be", || async {
            let detail = session.get(&path).await.unwrap();
            let is_so = detail["connected"] == connected && detail["status"] == "active";
            is_so.then_some(detail)
        })
        .await
        .0
    };
    is(true).await;
    for _ in 0..3 {
        stack.agent.kill();
        is(false).await;
        stack.agent.resume().await.unwrap();
        is(true).await;
    }
    let history = is(true).await["history"].to_string();
    assert!(!history.contains("no_runtime"), "{history}");
}
