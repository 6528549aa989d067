//! `stop`: it waits for what runs, and for the moment at which another agent can start.

use crate::node::{Node, WITHIN, chat};
use crate::support::between::between;
use crate::support::{json, stderr, stdout};
use dgon_agent::local::{self, Request};
use dgon_agent::spool::Lock;
use dgon_testkit::runtime::{Kind, SimConfig};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Output;
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};

/// A node whose runtime takes this long for its first word, with a request in flight.
async fn busy(ttft: Duration) -> (Node, String, JoinHandle<u16>) {
    let mut node = Node::new("");
    let mut slow = SimConfig::new(Kind::Ollama);
    slow.ttft = ttft;
    node.with_runtime_like(slow).await;
    node.start();
    let proxy = node
        .until(|status| status.runtimes.iter().any(|runtime| runtime.ready))
        .await
        .proxy;
    let asking = tokio::spawn({
        let proxy = proxy.clone();
        async move { chat(&proxy).await }
    });
    node.until_runtime_works().await;
    (node, proxy, asking)
}

/// Runs a command while requests of this test go on.
async fn beside(node: &Node, arguments: &[&str]) -> Output {
    let mut command = node.command(arguments);
    spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Sends the agent a signal; its process id.
fn signal(node: &Node, signal: Signal) -> u32 {
    let id = node.child.as_ref().unwrap().id();
    kill_process(Pid::from_raw(id.cast_signed()).unwrap(), signal).unwrap();
    id
}

#[tokio::test]
async fn a_stop_waits_for_what_runs_and_then_another_agent_starts_at_once() {
    let (mut node, proxy, asking) = busy(Duration::from_secs(2)).await;
    let said = beside(&node, &["stop"]).await;
    assert!(said.status.success(), "{}", stderr(&said));
    // What it waited for has ended, and nothing of the agent is in the way of the next one.
    drop(Lock::take(node.machine.state.path()).unwrap());
    let text = stdout(&said);
    assert!(text.contains("1 request runs"), "{text}");
    assert_eq!(asking.await.unwrap(), 200);
    let ended = node.child.as_mut().unwrap().wait().unwrap();
    assert_eq!(ended.code(), Some(0), "as after a SIGTERM");
    let receipts = json(&node.run(&["receipt", "list", "--json"]));
    assert_eq!(receipts["items"].as_array().unwrap().len(), 1, "{receipts}");

    let address = proxy.trim_start_matches("http://").to_owned();
    node.machine.set("DGON_PROXY_LISTEN", address);
    node.start();
    let again = node.until(|_| true).await;
    assert_eq!((again.proxy, again.spool.last_seq), (proxy, 1));

    let said = json(&node.run(&["stop", "--json"]));
    assert_eq!(
        (
            &said["stopped"],
            &said["pid"],
            &said["in_flight"],
            &said["receipts_waiting"]
        ),
        (&true.into(), &again.pid.into(), &0.into(), &1.into())
    );
}

#[tokio::test]
async fn an_agent_that_has_not_ended_in_time_is_told_of() {
    let (mut node, _, asking) = busy(WITHIN).await;
    let pid = node.child.as_ref().unwrap().id();
    between(&node.machine.state.socket(), |mut answer| {
        if answer["answer"] == "stopping" {
            answer["within_s"] = 0.into();
        }
        Some(answer)
    });
    let said = beside(&node, &["stop"]).await;
    assert_eq!(said.status.code(), Some(1));
    let text = stderr(&said);
    assert!(text.contains(&format!("pid {pid}")), "{text}");
    assert!(text.contains("1 requests are in flight"), "{text}");
    assert!(text.contains(&format!("kill -KILL {pid}")), "{text}");
    node.kill();
    asking.abort();
}

#[tokio::test]
async fn an_agent_that_was_not_taught_to_stop_is_named() {
    let node = Node::serving("").await;
    let pid = node.child.as_ref().unwrap().id();
    between(&node.machine.state.socket(), |answer| {
        let refused =
            serde_json::json!({"answer": "refused", "message": "not a request of this version"});
        Some(if answer["answer"] == "stopping" {
            refused
        } else {
            answer
        })
    });
    let said = beside(&node, &["stop"]).await;
    assert_eq!(said.status.code(), Some(1));
    let text = stderr(&said);
    assert!(text.contains(&format!("kill -TERM {pid}")), "{text}");
}

#[tokio::test]
async fn a_halted_agent_is_named_by_its_process_id() {
    let node = Node::serving("").await;
    let id = signal(&node, Signal::STOP);
    let (stop, status) = tokio::join!(beside(&node, &["stop"]), beside(&node, &["status"]));
    assert_eq!(
        (stop.status.code(), status.status.code()),
        (Some(1), Some(1))
    );
    let text = stderr(&stop);
    assert!(text.contains("halted"), "{text}");
    assert!(text.contains(&format!("kill -KILL {id}")), "{text}");
    let text = stderr(&status);
    assert!(
        text.contains(&format!("(pid {id}) takes the question")),
        "{text}"
    );
}

#[tokio::test]
async fn an_agent_that_is_about_to_end_is_waited_for() {
    let (mut node, _, asking) = busy(Duration::from_secs(2)).await;
    // It has the lock still, and its socket no more.
    std::fs::remove_file(node.machine.state.socket()).unwrap();
    signal(&node, Signal::TERM);
    let said = beside(&node, &["stop", "--json"]).await;
    drop(Lock::take(node.machine.state.path()).unwrap());
    assert_eq!(json(&said)["running"], false);
    assert_eq!(asking.await.unwrap(), 200);
    node.child.as_mut().unwrap().wait().unwrap();
}

#[tokio::test]
async fn a_hang_up_is_neither_another_version_nor_the_end() {
    let mut node = Node::serving("").await;
    let mut answers = 0;
    between(&node.machine.state.socket(), move |answer| {
        answers += 1;
        (answers > 1).then_some(answer)
    });
    let said = beside(&node, &["stop", "--json"]).await;
    assert_eq!(json(&said)["stopped"], true, "{}", stderr(&said));
    node.child.as_mut().unwrap().wait().unwrap();
}

#[tokio::test]
async fn the_first_signal_after_a_stop_asks_for_the_same() {
    let (mut node, _, asking) = busy(Duration::from_secs(2)).await;
    local::ask(&node.machine.state.socket(), Request::Stop)
        .await
        .unwrap();
    signal(&node, Signal::TERM);
    assert_eq!(asking.await.unwrap(), 200, "what ran may end");
    let ended = node.child.as_mut().unwrap().wait().unwrap();
    assert_eq!(ended.code(), Some(0));
}
