//! Many simulated agents against the real control plane, which dies twice meanwhile. What one misbehaving agent
//! meets is proven in the control plane's own tests, with the same [`dgon_testkit::fleet::SimAgent`].

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use dgon_testkit::fleet::load::{self, Load, Moment};
use dgon_testkit::programs::{ControlPlaneProcess, http_client};
use std::sync::Mutex;
use std::time::Duration;

async fn plane() -> (ControlPlaneProcess, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (ControlPlaneProcess::start(dir.path()).await.unwrap(), dir)
}

fn work(plane: &ControlPlaneProcess, rate: f64, seconds: f64) -> Load {
    Load {
        api: plane.url(),
        rate,
        warm_up: Duration::ZERO,
        duration: Duration::from_secs_f64(seconds),
        linger: Duration::from_millis(5),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_of_a_fleet_is_acknowledged_and_stored_once() {
    let (mut plane, _dir) = plane().await;
    http_client().unwrap();
    let agents = load::enrol(
        &plane.url(),
        &[plane.token(12).await.unwrap()],
        12,
        Some("sim"),
    )
    .await
    .unwrap();
    let fleet = tokio::spawn({
        let work = work(&plane, 150.0, 4.0);
        async move { load::run(agents, &work, |_| ()).await }
    });
    // Two deaths in the middle of it: what is in flight is sent again.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        plane.kill();
        plane.resume().await.unwrap();
    }
    let (report, agents) = fleet.await.unwrap();
    assert_eq!((report.refused, report.unacked), (0, 0), "{report:?}");
    assert_eq!(report.acked, report.made);
    assert!(report.made >= 300, "{report:?}");
    let rows = plane.sign_in().await.unwrap().receipts("").await.unwrap();
    assert_eq!(rows.len() as u64, report.made);
    for agent in &agents {
        let mut seqs: Vec<u64> = rows
            .iter()
            .filter(|row| row["node_id"].as_str() == Some(agent.node_id.as_str()))
            .map(|row| row["seq"].as_u64().unwrap())
            .collect();
        seqs.sort_unstable();
        assert_eq!(
            seqs,
            (1..=agent.head.seq).collect::<Vec<_>>(),
            "{}",
            agent.node_id
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_that_warms_up_counts_what_comes_after() {
    let (plane, _dir) = plane().await;
    http_client().unwrap();
    let token = plane.token(4).await.unwrap();
    let agents = load::enrol(&plane.url(), &[token], 4, None).await.unwrap();
    let work = Load {
        warm_up: Duration::from_secs(1),
        ..work(&plane, 80.0, 1.0)
    };
    let told = Mutex::new(Vec::new());
    let (report, agents) =
        load::run(agents, &work, |moment| told.lock().unwrap().push(moment)).await;
    assert_eq!(*told.lock().unwrap(), [Moment::Counting, Moment::Made]);
    let all: u64 = agents.iter().map(|agent| agent.head.seq).sum();
    assert!(report.acked > 0 && report.acked < all, "{all} {report:?}");
    assert!(report.made < all, "{all} {report:?}");
}
