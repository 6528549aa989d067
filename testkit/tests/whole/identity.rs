//! The node's identity through everything that is real: changes of keys under load and under kill -9, machines that
//! enrol again, two agents with one identity.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use crate::common::{Stack, chat, until};
use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::{Receipt, Sha256Hash, Verdict};
use dgon_testkit::programs::{AgentProcess, AgentSetup, Session};
use dgon_testkit::runtime::{Kind, SimConfig};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MODEL: &str = "sim-chat:1b";

fn runtime() -> SimConfig {
    let mut config = SimConfig::new(Kind::Ollama);
    config.tokens_per_second = Some(2_000.0);
    config.ttft = Duration::from_millis(3);
    config
}

/// Request ids whose answers ended.
type Finished = Arc<Mutex<BTreeSet<String>>>;

/// Asks until `stop`; whoever finds nobody asks again.
async fn client(
    http: reqwest::Client,
    url: String,
    name: usize,
    finished: Finished,
    stop: Arc<AtomicBool>,
) {
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let question = chat(MODEL, &format!("client {name} turn {turn}"), turn % 2 == 0);
        let request = http
            .post(format!("{url}/v1/chat/completions"))
            .json(&question);
        let answered = async {
            let response = request.send().await.ok()?;
            let id = response.headers().get("x-dgon-request-id")?;
            let id = id.to_str().ok()?.to_owned();
            let is_ok = response.status() == 200;
            let body = response.bytes().await.ok()?;
            let ended = turn % 2 == 1 || body.ends_with(b"data: [DONE]\n\n");
            (is_ok && ended).then_some(id)
        };
        match answered.await {
            Some(id) => drop(finished.lock().unwrap().insert(id)),
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

struct Clients {
    finished: Finished,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Clients {
    fn start(stack: &Stack, count: usize) -> Self {
        let finished = Finished::default();
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..count).map(|name| {
            tokio::spawn(client(
                stack.http.clone(),
                stack.agent.url(),
                name,
                Arc::clone(&finished),
                Arc::clone(&stop),
            ))
        });
        Self {
            tasks: tasks.collect(),
            finished,
            stop,
        }
    }

    fn count(&self) -> usize {
        self.finished.lock().unwrap().len()
    }

    async fn until_more(&self, more: usize) {
        let enough = self.count() + more;
        until("more answers", || async {
            (self.count() >= enough).then_some(())
        })
        .await;
    }

    async fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.finished.lock().unwrap().clone()
    }
}

async fn shown(agent: &AgentProcess) -> Value {
    serde_json::from_str(&agent.tell(&["key", "show", "--json"]).await.unwrap()).unwrap()
}

/// Waits until no receipt of any key waits and every old chain is closed; the key in use.
async fn until_home(agent: &AgentProcess) -> Value {
    let home = until("every chain at home", || async {
        let status = agent.status().await.ok()?;
        let shown = shown(agent).await;
        let former = shown["former"].as_array().unwrap();
        let is_home = |key: &Value| key["waiting_receipts"] == 0 && key["closing_told"] == true;
        let done = status["spool"]["depth"] == 0
            && shown["next_key_id"].is_null()
            && former.iter().all(is_home);
        done.then_some(shown)
    });
    home.await.0
}

/// Every answer has its receipt, each once, each under a key that the network names, each chain without a hole.
async fn check(session: &Session, node: &str, finished: &BTreeSet<String>) -> usize {
    let keys = session.get(&format!("/nodes/{node}/keys")).await.unwrap();
    let keys = keys["items"].as_array().unwrap();
    let by_id: BTreeMap<&str, PublicKey> = keys
        .iter()
        .map(|key| {
            let public = PublicKey::parse(key["public_key"].as_str().unwrap()).unwrap();
            (key["key_id"].as_str().unwrap(), public)
        })
        .collect();
    let mut chains: BTreeMap<String, BTreeMap<i64, Vec<u8>>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in session.receipts(&format!("node_id={node}")).await.unwrap() {
        let id = row["request_id"].as_str().unwrap().to_owned();
        let raw = session
            .get_bytes(&format!("/receipts/{id}/raw"))
            .await
            .unwrap();
        let receipt = Receipt::parse(&raw).unwrap();
        let key_id = receipt.fields.key_id.clone().unwrap();
        assert_eq!(
            Receipt::verdict(&raw, &by_id[key_id.as_str()]),
            Verdict::Valid
        );
        let seq = receipt.fields.seq.unwrap();
        let twice = chains.entry(key_id).or_default().insert(seq, raw.clone());
        assert!(twice.is_none() && seen.insert(id), "each counts once");
    }
    for (key_id, chain) in &chains {
        let mut prev = Sha256Hash::ZERO;
        for (place, (seq, raw)) in (1..).zip(chain) {
            assert_eq!(*seq, place, "a hole in the chain of {key_id}");
            let receipt = Receipt::parse(raw).unwrap();
            assert_eq!(receipt.fields.prev_hash, Some(prev));
            prev = receipt.entry_hash();
        }
        let key = keys.iter().find(|key| key["key_id"] == **key_id).unwrap();
        if key["valid_to"].is_string() {
            assert_eq!(key["closed_seq"], chain.len(), "the end that was stated");
        }
    }
    let lost: Vec<_> = finished.difference(&seen).collect();
    assert!(lost.is_empty(), "answers without a receipt: {lost:?}");
    let node = session.get(&format!("/nodes/{node}")).await.unwrap();
    assert_ne!(node["node"]["status"], "quarantine", "{node}");
    keys.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_agent_changes_its_key_and_loses_nothing() {
    let mut stack = Stack::start(vec![runtime()], "").await;
    let clients = Clients::start(&stack, 4);
    clients.until_more(10).await;
    let before = shown(&stack.agent).await;
    for _ in 0..3 {
        stack.agent.tell(&["key", "rotate"]).await.unwrap();
        clients.until_more(10).await;
    }
    // The control plane is away: receipts of the old key wait, and the change waits.
    stack.plane.kill();
    clients.until_more(10).await;
    let refused = stack.agent.tell(&["key", "rotate"]).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("the change is prepared"), "{text}");
    clients.until_more(10).await;
    let pending = shown(&stack.agent).await;
    assert!(pending["next_key_id"].is_string(), "{pending}");
    stack.plane.resume().await.unwrap();
    let finished = clients.end().await;
    stack.agent.tell(&["key", "rotate"]).await.unwrap();
    let after = until_home(&stack.agent).await;
    assert_eq!(after["key_id"], pending["next_key_id"]);
    let former = after["former"].as_array().unwrap();
    assert_eq!(former.len(), 4);
    assert_eq!(former[3]["key_id"], before["key_id"]);
    stack.agent.all_acked().await.unwrap();

    let session = stack.session().await;
    let node = after["node_id"].as_str().unwrap();
    assert_eq!(check(&session, node, &finished).await, 5);
    let audit = stack
        .agent
        .tell(&["receipt", "list", "--limit", "10000", "--json"]);
    let list: Value = serde_json::from_str(&audit.await.unwrap()).unwrap();
    let listed: BTreeSet<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["receipt"]["request_id"].as_str().unwrap())
        .collect();
    assert!(
        finished.iter().all(|id| listed.contains(id.as_str())),
        "receipts of old keys are at hand too"
    );
}

/// A small generator, so that a failing round can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_keys_killed_at_any_moment_goes_on_and_loses_nothing() {
    let seed = u64::from(std::process::id()) | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut stack = Stack::start(vec![runtime()], "").await;
    let clients = Clients::start(&stack, 3);
    // With the last one eight, which is all that a node has in a day.
    for round in 0..7 {
        clients.until_more(3).await;
        let mut command = stack.agent.command();
        let command = command.args(["key", "rotate"]);
        let mut rotating = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Not a wait for anything: the moment of the kill is what is tried.
        tokio::time::sleep(Duration::from_millis(dice.below(80))).await;
        if round % 3 == 2 {
            stack.plane.kill();
        }
        stack.agent.kill();
        rotating.wait().unwrap();
        if round % 3 == 2 {
            stack.plane.resume().await.unwrap();
        }
        stack.agent.resume().await.unwrap();
    }
    let finished = clients.end().await;
    stack.agent.tell(&["key", "rotate"]).await.unwrap();
    let home = until_home(&stack.agent).await;
    let session = stack.session().await;
    let node = home["node_id"].as_str().unwrap();
    let keys = check(&session, node, &finished).await;
    println!("{} answers under {keys} keys", finished.len());
    assert_eq!(keys, home["former"].as_array().unwrap().len() + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_agent_changes_its_key_and_a_lost_spool_is_left_behind() {
    let mut stack = Stack::start(vec![runtime()], "").await;
    let clients = Clients::start(&stack, 1);
    clients.until_more(5).await;
    let finished = clients.end().await;
    stack.agent.all_acked().await.unwrap();
    stack.agent.kill();
    let said = stack
        .agent
        .tell(&["key", "rotate", "--json"])
        .await
        .unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["key_id"], shown(&stack.agent).await["key_id"]);
    stack.agent.resume().await.unwrap();
    let clients = Clients::start(&stack, 1);
    clients.until_more(5).await;
    let mut all = clients.end().await;
    all.extend(finished);
    let home = until_home(&stack.agent).await;
    stack.agent.all_acked().await.unwrap();
    let session = stack.session().await;
    let node = home["node_id"].as_str().unwrap();
    assert_eq!(check(&session, node, &all).await, 2);

    // The disk is lost: the chain of this key cannot go on, and that of the next one begins.
    stack.agent.kill();
    std::fs::remove_dir_all(stack.agent.state().join("spool")).unwrap();
    stack.agent.launch().unwrap();
    until("the agent that serves nothing", || async {
        let status = stack.agent.status().await.ok()?;
        (status["spool"]["not_ready"] == "chain_behind").then_some(())
    })
    .await;
    stack.agent.tell(&["key", "rotate"]).await.unwrap();
    stack.agent.ready().await.unwrap();
    let clients = Clients::start(&stack, 1);
    clients.until_more(3).await;
    let served = clients.end().await;
    stack.agent.all_acked().await.unwrap();
    let rows = session.receipts(&format!("node_id={node}")).await.unwrap();
    let stored: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row["request_id"].as_str())
        .collect();
    assert!(served.iter().all(|id| stored.contains(id.as_str())));
    let keys = session.get(&format!("/nodes/{node}/keys")).await.unwrap();
    assert!(
        keys["items"][1]["closed_seq"].is_null(),
        "nobody states an end that he does not know"
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_agents_with_one_identity_the_older_serves_on_and_says_why() {
    let mut stack = Stack::start(vec![runtime()], "").await;
    stack.agent.all_acked().await.unwrap();
    until("the link", || async {
        let status = stack.agent.status().await.ok()?;
        (status["link"]["phase"] == "connected").then_some(())
    })
    .await;
    let setup = AgentSetup {
        name: "twin".to_owned(),
        runtimes: stack
            .runtimes
            .iter()
            .map(dgon_testkit::runtime::SimRuntime::url)
            .collect(),
        ..AgentSetup::default()
    };
    let mut twin = AgentProcess::enrol(stack.dir.path(), &stack.plane, &setup)
        .await
        .unwrap();
    for file in ["node.key", "node.secret"] {
        std::fs::copy(stack.agent.state().join(file), twin.state().join(file)).unwrap();
    }
    copy(
        &stack.agent.state().join("spool"),
        &twin.state().join("spool"),
    );
    twin.resume().await.unwrap();
    until("the older one knows", || async {
        let status = stack.agent.status().await.ok()?;
        (status["link"]["phase"] == "replaced").then_some(())
    })
    .await;
    let log = stack.agent.log_tail();
    assert!(
        log.contains("another agent with the identity of this node took the link over"),
        "{log}"
    );
    // Its own users are served on.
    let clients = Clients::start(&stack, 1);
    clients.until_more(3).await;
    clients.end().await;
    until("the link of the younger", || async {
        let status = twin.status().await.ok()?;
        (status["link"]["phase"] == "connected").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_enrols_again_is_the_same_node_and_a_lost_one_is_told_what_it_lost() {
    let mut stack = Stack::start(vec![runtime()], "").await;
    let clients = Clients::start(&stack, 1);
    clients.until_more(3).await;
    let mut finished = clients.end().await;
    let last = stack.agent.all_acked().await.unwrap();
    let before = shown(&stack.agent).await;
    let node = before["node_id"].as_str().unwrap().to_owned();
    let url = stack.plane.url();
    let enrol = ["enroll", "--json", "--force", "--api", &url, "--token"];

    // While it runs it is not enrolled again, as it would go on with the old secret.
    let token = stack.plane.token(2).await.unwrap();
    let refused = stack.agent.tell(&[&enrol[..], &[&token]].concat()).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("stop it first"), "{text}");
    stack.agent.kill();
    let said = stack
        .agent
        .tell(&[&enrol[..], &[&token]].concat())
        .await
        .unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["node_id"], node.as_str());
    // The secret alone is lost: the key is enough.
    std::fs::remove_file(stack.agent.state().join("node.secret")).unwrap();
    let said = stack
        .agent
        .tell(&[&enrol[..], &[&token]].concat())
        .await
        .unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["node_id"], node.as_str());
    assert_eq!(said["public_key"], before["public_key"]);
    stack.agent.resume().await.unwrap();
    let clients = Clients::start(&stack, 1);
    clients.until_more(3).await;
    finished.extend(clients.end().await);
    assert!(
        stack.agent.all_acked().await.unwrap() > last,
        "the chain goes on"
    );
    let session = stack.session().await;
    assert_eq!(check(&session, &node, &finished).await, 1);

    // All is lost but the name.
    let setup = AgentSetup {
        name: "fresh".to_owned(),
        yaml: format!("node:\n  id: {node}\n"),
        ..AgentSetup::default()
    };
    let lost = AgentProcess::enrol(stack.dir.path(), &stack.plane, &setup).await;
    let text = lost.err().unwrap().to_string();
    assert!(
        text.contains("restore the directory from a backup"),
        "{text}"
    );
}
