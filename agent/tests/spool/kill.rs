//! Killed with SIGKILL while it appends to real files: what it said was durable is there, once, in order, and the
//! chain goes on from it.

use crate::receipts::{facts, key};
use dgon_agent::receipts::{Receipts, Signer};
use dgon_agent::sink::ReceiptSink as _;
use dgon_agent::spool::view::View;
use dgon_agent::spool::{DeadLetters, Folder, Lock, Spool};
use dgon_agent_core::spool::Limits;
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::{Receipt, Sha256Hash};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Names the folder to append in, and thereby makes this test its own child.
const CHILD_DIR: &str = "DGON_TEST_APPEND_IN";
const THIS_TEST: &str = "kill::every_receipt_that_was_reported_survives_kill_9";

/// The child: records receipts without end, eight requests at a time, and prints each `seq` once it is durable.
#[tokio::main(flavor = "current_thread")]
async fn append_until_killed(dir: &Path) {
    let folder = dir.join("spool");
    let disk = Folder::open(&folder).unwrap();
    let lock = Lock::take(&folder).unwrap();
    let spool = Spool::open(disk, &key().public().key_id(), Limits::default(), 0).unwrap();
    let signer = Signer::new(key(), NodeId::parse("n-1").unwrap(), None);
    let receipts =
        Receipts::start(spool, signer, DeadLetters::in_dir(dir), Some(lock.into())).unwrap();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let receipts = receipts.clone();
        requests.spawn(async move {
            loop {
                let id = receipts.next_request_id();
                let seq = receipts.record(facts(id.as_str())).await.unwrap();
                println!("{seq}");
            }
        });
    }
    requests.join_next().await;
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", THIS_TEST, "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Lets the child run until it has reported `receipts` of them, kills it, and returns every `seq` it reported.
fn killed_after(dir: &Path, receipts: usize) -> Vec<u64> {
    let mut child = start(dir);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut reported: Vec<u64> = Vec::new();
    while reported.len() < receipts {
        let line = lines
            .next()
            .expect("the child goes on until it is killed")
            .unwrap();
        // The test harness of the child has a word of its own.
        reported.extend(line.parse::<u64>());
    }
    child.kill().unwrap();
    // What it had written before it died still counts.
    reported.extend(
        lines
            .map_while(Result::ok)
            .filter_map(|line| line.parse::<u64>().ok()),
    );
    child.wait().unwrap();
    reported
}

#[test]
fn every_receipt_that_was_reported_survives_kill_9() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        return append_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut promised = 0;
    for round in 0..12 {
        // A torn last number could only be shorter, so the largest is a promise that was made.
        let reported = killed_after(dir.path(), 1 + round * 23 % 90);
        promised = reported.into_iter().max().unwrap().max(promised);

        let mut kept = View::of(&dir.path().join("spool"))
            .newest(usize::MAX)
            .unwrap();
        kept.reverse();
        assert!(
            kept.len() as u64 >= promised,
            "{} kept, {promised} promised",
            kept.len()
        );
        let mut prev_hash = Sha256Hash::ZERO;
        for (expected, stored) in (1..).zip(&kept) {
            let receipt = Receipt::parse(&stored.entry_bytes).unwrap();
            assert_eq!(stored.seq, expected);
            assert_eq!(receipt.fields.seq, i64::try_from(expected).ok());
            assert_eq!(receipt.fields.prev_hash, Some(prev_hash));
            prev_hash = receipt.entry_hash();
        }
        let last = Receipt::parse(&kept.last().unwrap().entry_bytes).unwrap();
        assert!(last.verify(&key().public()));
    }
}
