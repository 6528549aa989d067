//! What nodes offer, from what they said over the link to what people are shown.

use crate::support::{ALL, SOON, Server};
use dgon_protocol::frame::{Inventory, Model, Runtime, ToAgent, ToControlPlane};
use dgon_testkit::fleet::{MODEL, inventory};
use serde_json::{Value, json};
use std::time::Duration;

fn runtime(kind: &str, models: &[&str]) -> Runtime {
    let model = |id: &&str| Model {
        id: (*id).to_owned(),
        digest: None,
        size_bytes: None,
        loaded: Some(true),
    };
    Runtime {
        kind: kind.to_owned(),
        version: None,
        ready: true,
        models: models.iter().map(model).collect(),
    }
}

fn with(runtimes: Vec<Runtime>) -> ToControlPlane {
    ToControlPlane::Inventory(Inventory {
        runtimes,
        ..inventory()
    })
}

/// The ids of a list of nodes.
fn ids(shown: &Value) -> Vec<&str> {
    let items = shown["items"].as_array().expect("a page");
    items
        .iter()
        .filter_map(|item| item["node_id"].as_str())
        .collect()
}

async fn nodes_are_found_and_counted_by_what_they_say(server: Server) {
    let (_agent, mut first) = server.active_agent("rig-1").await;
    let (_agent, _second) = server.active_agent("rig-2").await;
    let models = |count: i64| move |shown: &Value| shown["models_cached"] == json!(count);
    server.until_shown("/summary", models(1)).await;
    server
        .until_shown(&format!("/nodes?model={MODEL}"), |shown| {
            ids(shown) == ["rig-1", "rig-2"]
        })
        .await;
    server
        .until_shown("/nodes?runtime=ollama", |shown| ids(shown).len() == 2)
        .await;

    // It changes its runtime while connected.
    let frame = with(vec![runtime("vllm", &["qwen2.5:32b", "phi4"])]);
    first.send(&frame).await.expect("inventory");
    server.until_shown("/summary", models(3)).await;
    for (query, wanted) in [
        ("runtime=vllm", vec!["rig-1"]),
        ("runtime=ollama", vec!["rig-2"]),
        ("model=phi4", vec!["rig-1"]),
        ("model=phi", vec![]),
        ("model=phi4&runtime=ollama", vec![]),
    ] {
        let shown = server.shown(&format!("/nodes?{query}")).await;
        assert_eq!(ids(&shown), wanted, "{query}");
    }

    // And has one model less.
    let frame = with(vec![runtime("vllm", &["phi4"])]);
    first.send(&frame).await.expect("inventory");
    server.until_shown("/summary", models(2)).await;
    server.stop().await;
}

#[tokio::test]
async fn nodes_are_found_and_counted_by_what_they_say_on_sqlite() {
    Box::pin(nodes_are_found_and_counted_by_what_they_say(
        Server::start().await,
    ))
    .await;
}

#[tokio::test]
async fn nodes_are_found_and_counted_by_what_they_say_on_postgres() {
    Box::pin(nodes_are_found_and_counted_by_what_they_say(
        Server::start_on_postgres().await,
    ))
    .await;
}

/// Names that PostgreSQL cannot store or index, from one node; the others' are stored all the same.
#[tokio::test]
async fn a_node_with_names_that_cannot_be_stored_keeps_no_others_from_being_found() {
    let server = Server::start_on_postgres().await;
    let (_agent, mut bad) = server.active_agent("bad").await;
    let (_agent, mut good) = server.active_agent("good").await;
    let long = "m".repeat(100_000);
    let odd = with(vec![
        runtime("vllm", &["nul\0", &long, "phi4"]),
        runtime(&"k".repeat(5_000), &["x"]),
        runtime("nul\0", &["y"]),
    ]);
    bad.send(&odd).await.expect("inventory");
    good.send(&with(vec![runtime("sglang", &["phi4"])]))
        .await
        .expect("inventory");
    server
        .until_shown("/nodes?model=phi4", |shown| ids(shown) == ["bad", "good"])
        .await;
    server
        .until_shown("/summary", |shown| shown["models_cached"] == json!(1))
        .await;
    server.stop().await;
}

#[tokio::test]
async fn what_an_agent_calls_itself_is_stored_without_control_characters() {
    let server = Server::start_on_postgres().await;
    let agent = server.agent("rig").await;
    let mut link = agent
        .connect_with(|hello| hello.agent_version = "1.0\0\u{1b}[31m".to_owned())
        .await
        .expect("connect");
    link.until(SOON, |frame| match frame {
        ToAgent::Status(_) => Some(()),
        _ => None,
    })
    .await
    .expect("status");
    let stored = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            let row = server.app.store.node_get(&ALL, &agent.node_id).await;
            let row = row.expect("read").expect("a row");
            if row.last_connected_at_ms.is_some() {
                return row.agent_version;
            }
        }
    };
    let version = tokio::time::timeout(SOON, stored).await.expect("stored");
    assert_eq!(version, "1.0[31m");
    server.stop().await;
}
