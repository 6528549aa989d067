//! A real disk that is full or read-only under a running agent: no work without its receipt, the reason is said, and
//! all goes on by itself when the disk is back. Needs root, for a small file system of its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use crate::common::{Stack, chat, until};
use dgon_testkit::runtime::{Kind, SimConfig};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MODEL: &str = "sim-chat:1b";

fn runtime() -> SimConfig {
    let mut config = SimConfig::new(Kind::Ollama);
    config.tokens_per_second = Some(2_000.0);
    config.ttft = Duration::from_millis(3);
    config
}

/// A file system in memory of 4 MiB, unmounted with its handle.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0700", "dgon-test"])
            .arg(at)
            .output();
        mount
            .is_ok_and(|done| done.status.success())
            .then(|| Self(at.to_owned()))
    }

    fn remount(&self, options: &str) {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazy: the agent of a failed test may still be in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A stack whose agent has its state on a small file system; `None` where none may be mounted.
async fn stack_on_small() -> Option<(Stack, Small)> {
    let mut stack = Stack::start(vec![runtime()], "").await;
    stack.agent.all_acked().await.unwrap();
    stack.agent.kill();
    let state = stack.agent.state().to_owned();
    let aside = state.with_extension("aside");
    fs::rename(&state, &aside).unwrap();
    let Some(small) = Small::mount(&state) else {
        println!("NOT RUN: this user may not mount a file system; run this test as root");
        return None;
    };
    let copied = Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", aside.display()))
        .arg(&state)
        .status();
    assert!(copied.unwrap().success());
    stack.agent.resume().await.unwrap();
    Some((stack, small))
}

/// Status and body; an answer that visibly breaks off is status 0.
async fn ask(stack: &Stack) -> (u16, String) {
    let sent = stack
        .http
        .post(format!("{}/v1/chat/completions", stack.agent.url()))
        .json(&chat(MODEL, "one", false))
        .send()
        .await;
    let Ok(answer) = sent else {
        return (0, String::new());
    };
    let status = answer.status().as_u16();
    match answer.text().await {
        Ok(body) => (status, body),
        Err(_) => (0, String::new()),
    }
}

/// Waits for an answer of this status; its body.
async fn until_status(stack: &Stack, wanted: u16) -> String {
    until("the status", || async {
        let (status, body) = ask(stack).await;
        (status == wanted).then_some(body)
    })
    .await
    .0
}

/// The finding of the doctor's check of the spool.
async fn doctor(stack: &Stack) -> String {
    let mut command = stack.agent.command();
    command.args(["doctor", "--json"]);
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

async fn receipts(stack: &Stack) -> usize {
    let session = stack.session().await;
    session.receipts("source=local").await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_work_says_so_and_recovers_when_there_is_room() {
    let Some((mut stack, small)) = stack_on_small().await else {
        return;
    };
    assert_eq!(ask(&stack).await.0, 200);
    let ballast = small.0.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    let block = vec![0u8; 4096];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
    drop(file);
    // A page of the last segment may still have room; once it is full every request is refused.
    let mut served = 1;
    let refusal = loop {
        match ask(&stack).await {
            (200, _) => served += 1,
            (_, _) => break until_status(&stack, 503).await,
        }
        assert!(served < 10_000, "a full disk must be noticed");
    };
    assert!(refusal.contains("spool"), "{refusal}");
    let status = stack.agent.status().await.unwrap();
    assert_eq!(status["spool"]["not_ready"], "spool_unwritable");
    let said = doctor(&stack).await;
    assert!(
        said.contains("No space left") || said.contains("free"),
        "{said}"
    );
    fs::remove_file(&ballast).unwrap();
    until_status(&stack, 200).await;
    stack.agent.all_acked().await.unwrap();
    let status: Value = stack.agent.status().await.unwrap();
    assert_eq!(
        receipts(&stack).await as u64,
        status["spool"]["last_seq"].as_u64().unwrap() - probes(&stack).await
    );
}

/// Receipts of probes: they are in the chain and not in the list of local ones.
async fn probes(stack: &Stack) -> u64 {
    let session = stack.session().await;
    session.receipts("source=probe").await.unwrap().len() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_refuses_work_says_so_and_recovers_when_it_takes_writes() {
    let Some((mut stack, small)) = stack_on_small().await else {
        return;
    };
    assert_eq!(ask(&stack).await.0, 200);
    stack.agent.all_acked().await.unwrap();
    // A file that is open for writing keeps a file system writable: the agent is started on a read-only one.
    stack.agent.kill();
    small.remount("ro");
    stack.agent.launch().unwrap();
    let ended_or_refuses = until("a refusal", || async {
        let answer = stack
            .http
            .post(format!("{}/v1/chat/completions", stack.agent.url()))
            .json(&chat(MODEL, "one", false))
            .send()
            .await
            .ok()?;
        let status = answer.status().as_u16();
        (status == 503).then_some(answer)
    });
    let body = ended_or_refuses.await.0.text().await.unwrap();
    assert!(body.contains("spool"), "{body}");
    let said = doctor(&stack).await;
    assert!(said.contains("ead-only"), "{said}");
    small.remount("rw");
    let before = receipts(&stack).await;
    until_status(&stack, 200).await;
    until("the receipt", || async {
        (receipts(&stack).await > before).then_some(())
    })
    .await;
}
