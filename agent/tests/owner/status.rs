//! What `status` says is true: after a change of keys, with a spool that takes nothing, with a secret that nobody knows.

use crate::node::Node;
use crate::support::machine::{error, fill_spool};
use crate::support::{Request, StandIn, json, stderr, stdout};
use dgon_agent::local::Status;
use serde_json::json;

/// The line of the shown status that begins so.
fn line(node: &Node, name: &str) -> String {
    let text = stdout(&node.run(&["status"]));
    let found = text.lines().find(|line| line.starts_with(name));
    found
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .to_owned()
}

/// Takes new keys and nothing else.
fn only_keys() -> StandIn {
    StandIn::start(|request: &Request| match request.line.as_str() {
        "POST /api/v1/nodes/key/rotate" => {
            let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let answer = json!({
                "node_id": "rig-7", "key_id": "k", "valid_from_ms": 1, "grace_s": 3600, "new_key": asked["new_key"],
            });
            (200, answer.to_string())
        }
        _ => (503, error("unavailable")),
    })
}

#[tokio::test]
async fn the_day_goes_on_and_nothing_that_waits_is_forgotten_when_the_key_changes() {
    let plane = only_keys();
    let mut node = Node::new("");
    node.machine
        .configure(&format!("control_plane:\n  api: {}\n", plane.url()));
    node.with_runtime().await;
    node.start();
    let proxy = node
        .until(|status| status.runtimes.iter().any(|runtime| runtime.ready))
        .await
        .proxy;
    for _ in 0..2 {
        assert_eq!(node.chat(&proxy).await, 200);
    }
    let rotated = node.run(&["key", "rotate"]);
    assert!(rotated.status.success(), "{}", stderr(&rotated));
    assert_eq!(node.chat(&proxy).await, 200);
    let is_whole = |status: &Status| {
        let today = status.today.is_some_and(|today| today.receipts == 3);
        today && status.spool.receipts_today == 3 && status.spool.last_seq == 1
    };
    let before = node.until(is_whole).await;
    assert_eq!(
        (before.spool.depth, before.spool.former_waiting),
        (1, Some(2))
    );
    let after = node.restart().await;
    assert!(is_whole(&after), "{after:?}");
    assert_eq!(after.today, before.today);
    assert_eq!(
        (after.spool.depth, after.spool.former_waiting),
        (1, Some(2))
    );
    let receipts = line(&node, "receipts");
    for part in [
        "3 today",
        "1 waiting",
        "up to number 0 of this key's chain",
        "2 of former keys waiting",
    ] {
        assert!(receipts.contains(part), "{part:?} in: {receipts}");
    }
}

#[tokio::test]
async fn a_node_that_serves_nobody_is_not_said_to_serve() {
    let mut node = Node::new("");
    fill_spool(&node.machine, 3);
    node.machine.set("DGON_SPOOL_MAX_RECEIPTS", "3");
    node.start();
    node.until(|status| status.spool.reason.is_some()).await;
    let text = stdout(&node.run(&["status"]));
    assert!(line(&node, "mode").contains("NOT SERVING: "), "{text}");
    assert_eq!(text.matches("SERVING").count(), 1, "{text}");
    assert!(!text.contains(" serving"), "{text}");

    assert!(node.run(&["pause"]).status.success());
    let mode = line(&node, "mode");
    assert!(mode.contains("NOT SERVING: "), "{mode}");
    assert!(
        mode.contains("; also paused: paused by its owner"),
        "{mode}"
    );

    let resumed = node.run(&["resume"]);
    assert!(resumed.status.success());
    let said = stdout(&resumed);
    assert!(said.contains("still takes no work: "), "{said}");
    assert!(!said.contains("takes work from the network"), "{said}");
    let said = json(&node.run(&["resume", "--json"]));
    assert_eq!(said["not_ready"], "spool_full");
}

#[tokio::test]
async fn a_secret_that_the_control_plane_does_not_know_is_explained() {
    let plane = StandIn::start(|_| (401, error("unauthorized")));
    let mut node = Node::new("");
    node.machine
        .configure(&format!("control_plane:\n  api: {}\n", plane.url()));
    node.start();
    node.until(|status| status.link.last_error.is_some()).await;
    let said = line(&node, "network");
    for part in [
        "removed or revoked",
        "another secret",
        "dgon-agent enroll --force --state-dir",
        "says: said no",
    ] {
        assert!(said.contains(part), "{part:?} in: {said}");
    }
    let shown = json(&node.run(&["status", "--json"]));
    assert_eq!(shown["link"]["phase"], "waiting");
}
