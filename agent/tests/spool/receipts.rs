//! The writer: signing, the chain, waiting requests, and a disk that comes and goes.

use crate::fault_disk::{Effect, FaultDisk};
use dgon_agent::receipts::{NotReady, Receipts, Signer};
use dgon_agent::sink::{ReceiptSink as _, SinkError};
use dgon_agent::spool::{DeadLetters, Spool};
use dgon_agent_core::facts::{RequestFacts, TokensSource};
use dgon_agent_core::spool::Limits;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{Ack, Refused};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::{Receipt, Sha256Hash, Source, Status};
use std::time::Duration;
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(20);

pub(crate) fn facts(id: &str) -> RequestFacts {
    RequestFacts {
        request_id: RequestId::parse(id).unwrap(),
        source: Source::Local,
        status: Status::Ok,
        failure: None,
        model_id: "m".to_owned(),
        model_hash: None,
        runtime: None,
        started_ms: 1_800_000_000_000,
        ended_ms: 1_800_000_001_000,
        latency_ms: 1000,
        ttft_ms: None,
        gap_p95_ms: None,
        tokens_input: 1,
        tokens_output: 1,
        tokens_cached: Some(1),
        tokens_source: TokensSource::Usage,
        prompt_hash: None,
        output_hash: None,
        checkpoints: Vec::new(),
        energy_mwh: None,
        order_hash: None,
    }
}

struct Bench {
    disk: FaultDisk,
    receipts: Receipts,
    letters: DeadLetters,
    _dir: TempDir,
}

pub(crate) fn key() -> NodeKey {
    NodeKey::from_seed(&[9; 32])
}

fn bench(limits: Limits) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultDisk::default();
    let letters = DeadLetters::in_dir(dir.path());
    let receipts = start(&disk, limits, &letters);
    Bench {
        disk,
        receipts,
        letters,
        _dir: dir,
    }
}

fn start(disk: &FaultDisk, limits: Limits, letters: &DeadLetters) -> Receipts {
    let spool = Spool::open(disk.clone(), &key().public().key_id(), limits, 0).unwrap();
    let signer = Signer::new(key(), NodeId::parse("n-1").unwrap(), Some("eu".to_owned()));
    Receipts::start(spool, signer, letters.clone(), None).unwrap()
}

async fn until_ready(receipts: &Receipts) {
    let mut status = receipts.watch();
    tokio::time::timeout(WITHIN, status.wait_for(|status| status.not_ready.is_none()))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn many_requests_at_once_make_one_chain() {
    let bench = bench(Limits::default());
    let waiting: Vec<_> = (0..300)
        .map(|n| bench.receipts.record(facts(&format!("r_{n}"))))
        .collect();
    let mut seqs: Vec<u64> = futures_util::future::join_all(waiting)
        .await
        .into_iter()
        .map(|seq| seq.unwrap())
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=300).collect::<Vec<_>>());
    let mut prev_hash = Sha256Hash::ZERO;
    for stored in bench.receipts.read(1, 1000, 1 << 20).await.unwrap() {
        let receipt = Receipt::parse(&stored.entry_bytes).unwrap();
        assert!(receipt.verify(&key().public()));
        assert_eq!(receipt.fields.prev_hash, Some(prev_hash));
        assert_eq!(receipt.fields.cache_hit, Some(true));
        prev_hash = receipt.entry_hash();
    }
    let status = bench.receipts.status();
    assert_eq!(
        (status.last_seq, status.depth(), status.receipts_today()),
        (300, 300, 300)
    );
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_still_gets_its_receipt() {
    let bench = bench(Limits::default());
    drop(bench.receipts.record(facts("r_gone")));
    assert_eq!(bench.receipts.record(facts("r_next")).await.unwrap(), 2);
}

#[tokio::test]
async fn a_broken_disk_refuses_requests_and_clears_by_itself() {
    let bench = bench(Limits::default());
    bench.receipts.record(facts("r_1")).await.unwrap();
    bench.disk.set_broken(Some(Effect::Half));
    let refused = bench.receipts.record(facts("r_2")).await;
    assert!(matches!(refused, Err(SinkError::Write(_))), "{refused:?}");
    assert!(matches!(bench.receipts.room(), Err(SinkError::Write(_))));
    bench.disk.set_broken(None);
    until_ready(&bench.receipts).await;
    assert_eq!(bench.receipts.record(facts("r_3")).await.unwrap(), 2);
}

#[tokio::test]
async fn a_full_spool_refuses_requests_until_the_control_plane_has_some() {
    let bench = bench(Limits::new(20, 1 << 20));
    for n in 0..18 {
        bench.receipts.room().unwrap();
        bench
            .receipts
            .record(facts(&format!("r_{n}")))
            .await
            .unwrap();
    }
    // Who was let in has room: as many more may be promised a receipt as there are places.
    assert_eq!(bench.receipts.room().unwrap(), 2);
    bench.receipts.record(facts("r_18")).await.unwrap();
    bench.receipts.record(facts("r_19")).await.unwrap();
    assert!(matches!(
        bench.receipts.room(),
        Err(SinkError::Full { receipts: 20, .. })
    ));
    let refused = bench.receipts.record(facts("r_20")).await;
    assert!(
        matches!(refused, Err(SinkError::Full { .. })),
        "{refused:?}"
    );
    let ack = Ack {
        acked_seq: 10,
        refused: Vec::new(),
    };
    bench.receipts.acknowledge(ack, 20).await;
    bench.receipts.room().unwrap();
    assert_eq!(bench.receipts.record(facts("r_21")).await.unwrap(), 21);
}

#[tokio::test]
async fn refused_receipts_become_dead_letters_and_hold_nothing_up() {
    let bench = bench(Limits::default());
    for n in 1..=4 {
        bench
            .receipts
            .record(facts(&format!("r_{n}")))
            .await
            .unwrap();
    }
    let refusal = |id: &str| Refused {
        request_id: RequestId::parse(id).ok(),
        kind: ErrorType::InvalidReceipt,
        message: "no".into(),
    };
    let ack = Ack {
        acked_seq: 3,
        refused: vec![refusal("r_2"), refusal("r_unknown"), refusal("r_2")],
    };
    let ignored = bench.receipts.acknowledge(ack, 3).await;
    assert_eq!(ignored, 2, "one is unknown, one is told twice");
    let status = bench.receipts.status();
    assert_eq!(
        (status.acked_seq, status.depth(), status.dead_letters),
        (3, 1, 1)
    );
    let letters = bench.letters.newest(9).unwrap();
    let known = letters.iter().find(|letter| letter.seq == Some(2)).unwrap();
    let receipt = known.receipt.as_ref().unwrap();
    assert!(
        Receipt::parse(receipt.get().as_bytes())
            .unwrap()
            .verify(&key().public())
    );
}

#[tokio::test]
async fn refusals_count_for_what_is_in_flight_and_once() {
    let bench = bench(Limits::default());
    for n in 1..=6 {
        let recorded = bench.receipts.record(facts(&format!("r_{n}"))).await;
        recorded.unwrap();
    }
    let all = |acked_seq: u64| Ack {
        acked_seq,
        refused: (1..=6)
            .map(|n| Refused {
                request_id: RequestId::parse(format!("r_{n}")).ok(),
                kind: ErrorType::InvalidReceipt,
                message: "no".into(),
            })
            .collect(),
    };
    bench.receipts.resume_at(2).await;
    // 1 and 2 were acknowledged before, 5 and 6 were not sent.
    assert_eq!(bench.receipts.acknowledge(all(2), 4).await, 4);
    for _ in 0..50 {
        assert_eq!(bench.receipts.acknowledge(all(2), 4).await, 6);
    }
    assert_eq!(bench.receipts.acknowledge(all(4), 6).await, 4);
    let mut letters: Vec<_> = bench.letters.newest(99).unwrap();
    letters.sort_by_key(|letter| letter.seq);
    let seqs: Vec<_> = letters.iter().filter_map(|letter| letter.seq).collect();
    assert_eq!(seqs, [3, 4, 5, 6]);
    assert_eq!(bench.receipts.status().dead_letters, 4);
}

#[tokio::test]
async fn a_panic_of_the_writer_is_told() {
    let bench = bench(Limits::default());
    bench.receipts.record(facts("r_1")).await.unwrap();
    assert!(!bench.receipts.panicked().is_cancelled());
    bench.disk.poison();
    let recorded = bench.receipts.record(facts("r_2")).await;
    assert!(matches!(recorded, Err(SinkError::Closed)), "{recorded:?}");
    let told = bench.receipts.panicked().cancelled();
    tokio::time::timeout(WITHIN, told).await.unwrap();
    // An orderly end is none.
    let bench = self::bench(Limits::default());
    bench.receipts.close().await;
    assert!(!bench.receipts.panicked().is_cancelled());
}

#[tokio::test]
async fn a_control_plane_that_is_ahead_stops_the_node_and_one_that_is_behind_rewinds_it() {
    let bench = bench(Limits::default());
    for n in 1..=5 {
        bench
            .receipts
            .record(facts(&format!("r_{n}")))
            .await
            .unwrap();
    }
    bench.receipts.resume_at(5).await;
    assert_eq!(bench.receipts.status().depth(), 0);
    bench.receipts.resume_at(2).await;
    assert_eq!(
        bench.receipts.status().depth(),
        3,
        "restored from an older backup"
    );
    bench.receipts.resume_at(900).await;
    let status = bench.receipts.status();
    assert!(matches!(
        status.not_ready,
        Some(NotReady::ChainBehind {
            acked_seq: 900,
            last_seq: 5
        })
    ));
    assert!(matches!(bench.receipts.room(), Err(SinkError::Chain(_))));
    assert!(bench.receipts.record(facts("r_6")).await.is_err());
    assert_eq!(
        bench.receipts.status().acked_seq,
        2,
        "nothing is given up for it"
    );
    bench.receipts.resume_at(5).await;
    assert_eq!(bench.receipts.record(facts("r_6")).await.unwrap(), 6);
}

#[tokio::test]
async fn what_is_recorded_before_closing_is_there_after_a_restart() {
    let bench = bench(Limits::default());
    let waiting: Vec<_> = (0..50)
        .map(|n| bench.receipts.record(facts(&format!("r_{n}"))))
        .collect();
    let ack = Ack {
        acked_seq: 7,
        refused: Vec::new(),
    };
    bench.receipts.acknowledge(ack, 7).await;
    bench.receipts.close().await;
    for recorded in futures_util::future::join_all(waiting).await {
        recorded.unwrap();
    }
    assert!(matches!(bench.receipts.room(), Err(SinkError::Closed)));
    assert!(matches!(
        bench.receipts.record(facts("r_late")).await,
        Err(SinkError::Closed)
    ));
    let again = start(&bench.disk, Limits::default(), &bench.letters);
    let status = again.status();
    assert_eq!((status.last_seq, status.acked_seq), (50, 7));
    assert_eq!(again.record(facts("r_50")).await.unwrap(), 51);
}
