//! What a real agent does not know is told as unknown by the control plane, and never as 0 or as an old number.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use crate::common::{Stack, chat, until};
use dgon_testkit::programs::Session;
use dgon_testkit::runtime::{Faults, Kind, SimConfig};
use serde_json::{Value, json};

const MODEL: &str = "dgon/sim-chat";
const ANSWER_TOKENS: u32 = 12;

/// A server that never tells token counts.
fn silent() -> SimConfig {
    let mut config = SimConfig::new(Kind::Vllm);
    config.answer_tokens = Some(ANSWER_TOKENS);
    config.faults = Faults {
        no_usage: true,
        ..Faults::default()
    };
    config
}

/// The receipt whose tokens have this source.
async fn receipt(session: &Session, source: &str) -> Value {
    let (row, _) = until(source, || async {
        let rows = session.receipts("source=local").await.unwrap();
        rows.into_iter().find(|row| row["tokens_source"] == source)
    })
    .await;
    row
}

fn counts(row: &Value) -> (Option<i64>, Option<i64>) {
    (row["tokens_input"].as_i64(), row["tokens_output"].as_i64())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_nobody_counted_are_told_as_such_and_are_missing_in_no_sum_unsaid() {
    let stack = Stack::start(vec![silent()], "").await;
    let session = stack.session().await;
    let embeddings = json!({"model": MODEL, "input": "Tell me of receipts."});
    let tokenize = json!({"model": MODEL, "prompt": "Tell me of receipts."});
    for (path, body, status) in [
        ("/v1/embeddings", &embeddings, 200),
        ("/v1/chat/completions", &chat(MODEL, "Hello", true), 200),
        ("/tokenize", &tokenize, 200),
        ("/v1/embeddings", &json!({"model": MODEL}), 400),
    ] {
        assert_eq!(stack.ask(path, body).await.0, status, "{path}");
    }
    let unknown = receipt(&session, "unknown").await;
    assert_eq!(
        (unknown["status"].as_str(), counts(&unknown)),
        (Some("ok"), (Some(0), Some(0)))
    );
    let counted = receipt(&session, "chunks").await;
    let pieces = counted["tokens_output"].as_i64().unwrap();
    assert!((1..=ANSWER_TOKENS.into()).contains(&pieces), "{counted}");
    assert_eq!(counted["tokens_input"], 0, "nobody told the prompt");
    let unpaid = receipt(&session, "unpaid").await;
    assert_eq!(counts(&unpaid), (Some(0), Some(0)));
    let nothing = receipt(&session, "none").await;
    assert_eq!(nothing["status"], "error");

    let id = unknown["request_id"].as_str().unwrap();
    let detail = session.get(&format!("/receipts/{id}")).await.unwrap();
    assert_eq!(
        detail["receipt"], unknown,
        "one shape in the list and alone"
    );
    let raw: Value = serde_json::from_str(detail["raw"].as_str().unwrap()).unwrap();
    assert_eq!(
        raw["tokens_source"], "unknown",
        "the agent signed what the control plane tells"
    );

    let sum = session.get("/receipts/aggregate?source=local").await;
    let sum = sum.unwrap();
    assert_eq!(
        (&sum["count"], &sum["tokens_not_counted"]),
        (&json!(4), &json!(2)),
        "{sum}"
    );
    // The sums that are kept: with probes, which lack counts as well and may come at any moment.
    let ((rows, sum, summary), _) = until("three answers of one moment", || async {
        let rows = session.receipts("").await.unwrap();
        let sum = session.get("/receipts/aggregate").await.unwrap();
        let summary = session.get("/summary").await.unwrap();
        let agree = sum["count"] == rows.len() && summary["requests_24h"] == rows.len();
        agree.then_some((rows, sum, summary))
    })
    .await;
    let lacking = rows.iter().filter(|row| {
        row["tokens_source"] == "unknown"
            || (row["tokens_source"] == "chunks" && row["tokens_input"] == 0)
    });
    let lacking = json!(lacking.count());
    assert_eq!(sum["tokens_not_counted"], lacking, "{sum}");
    assert_eq!(summary["tokens_24h"]["not_counted"], lacking, "{summary}");
}

/// One card with its own memory and one part that shares the machine's.
fn machine() -> Value {
    json!({"driver": "580.95.05", "cuda": 13000, "cards": [
        {"name": "NVIDIA H200", "uuid": "GPU-1", "pci": "00000000:01:00.0", "memory_total": 150_754_820_096_u64,
         "memory_used": 1_073_741_824_u64, "util_pct": 37, "temp_c": 54, "power_mw": 312_500},
        {"name": "NVIDIA GB10", "uuid": "GPU-2", "pci": "0000000F:01:00.0", "util_pct": 5, "temp_c": 41,
         "power_mw": 9_000, "unsupported": ["memory"]},
    ]})
}

/// The node's detail once it is as wanted.
async fn node(session: &Session, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let (found, _) = until(what, || async {
        let nodes = session.get("/nodes").await.unwrap();
        let id = nodes["items"][0]["node_id"].as_str()?.to_owned();
        let detail = session.get(&format!("/nodes/{id}")).await.unwrap();
        wanted(&detail).then_some(detail)
    })
    .await;
    found
}

fn loads(node: &Value) -> Vec<&Value> {
    let gpus = node["gpu_details"].as_array().unwrap();
    gpus.iter().map(|gpu| &gpu["load"]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gpus_that_an_owner_lets_go_of_keep_their_names_and_lose_their_numbers() {
    let stack = Stack::start_on(vec![silent()], "", Some(machine())).await;
    let session = stack.session().await;
    let read = node(&session, "GPUs with their load", |node| {
        node["gpu_details"][0]["load"]["util_pct"] == 37.0
    })
    .await;
    assert_eq!(read["gpus_not_read"], Value::Null);
    assert_eq!(read["gpu_details"][0]["unified_memory"], false);
    assert_eq!(read["gpu_details"][1]["unified_memory"], true);

    stack.agent.tell(&["gpus", "release"]).await.unwrap();
    let released = node(&session, "released", |node| {
        node["gpus_not_read"] == "released"
    })
    .await;
    assert_eq!(released["gpus"], json!(["NVIDIA H200", "NVIDIA GB10"]));
    assert_eq!(loads(&released), [&Value::Null, &Value::Null]);
    let list = session.get("/nodes").await.unwrap();
    assert_eq!(list["items"][0]["gpus_not_read"], "released");

    stack.agent.tell(&["gpus", "resume"]).await.unwrap();
    let again = node(&session, "read again", |node| {
        node["gpus_not_read"].is_null() && node["gpu_details"][0]["load"]["util_pct"] == 37.0
    })
    .await;
    assert!(loads(&again)[1].is_object(), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gpus_that_nobody_may_read_are_no_missing_gpus() {
    let off = "telemetry:\n  read_gpus: false\n";
    let stack = Stack::start_on(vec![silent()], off, Some(machine())).await;
    let session = stack.session().await;
    let node = node(&session, "off", |node| node["gpus_not_read"] == "off").await;
    assert_eq!(
        (&node["gpus"], &node["gpu_details"]),
        (&json!([]), &json!([]))
    );
}
