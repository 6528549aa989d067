//! Sums of receipts: any cut into batches, on both databases, from many writers at once.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use crate::support::ALL;
use dgon_control_plane_model::rollup::{Ending, ReceiptFacts, Sums, minute_of};
use dgon_control_plane_store::Store;
use dgon_control_plane_store::rollups::RollupRange;

const START_MS: i64 = 1_800_000_000_000;

/// Receipts of three nodes in two regions over forty minutes, none like the other.
fn receipts(count: i64) -> Vec<ReceiptFacts> {
    (0..count)
        .map(|n| ReceiptFacts {
            node_id: format!("node-{}", n % 3),
            region: ["eu-west", "ap-southeast"][usize::from(n % 3 == 0)].to_owned(),
            received_at_ms: START_MS + n * 2_400_000 / count,
            ending: match n % 11 {
                0 => Ending::Failed,
                1 => Ending::Cancelled,
                _ => Ending::Whole,
            },
            cache_hit: Some(n % 4 == 0),
            tokens_input: n % 700,
            tokens_output: n % 90,
            lacks_a_count: n % 13 == 0,
            ttft_ms: (n % 5 != 0).then_some(20 + n * 7 % 900),
            latency_ms: Some(200 + n * 13 % 9_000),
        })
        .collect()
}

fn direct<'f>(facts: impl IntoIterator<Item = &'f ReceiptFacts>) -> Sums {
    facts
        .into_iter()
        .fold(Sums::default(), |mut sums, receipt| {
            sums.count(receipt);
            sums
        })
}

async fn stored(store: &Store, node_id: Option<&str>, region: Option<&str>) -> Sums {
    let range = RollupRange {
        node_id: node_id.map(str::to_owned),
        region: region.map(str::to_owned),
        from_minute: 0,
        to_minute: i64::MAX,
    };
    store.rollups_total(&ALL, &range).await.expect("total").0
}

#[tokio::test]
async fn batches_add_up_to_the_direct_sums() {
    crate::support::on_both(|store| async move {
        let all = receipts(700);
        for batch in all.chunks(97) {
            store.inspect().rollups_add(batch).await.expect("add");
        }
        assert_eq!(stored(&store, None, None).await, direct(&all));
        let of_node = all.iter().filter(|receipt| receipt.node_id == "node-1");
        assert_eq!(stored(&store, Some("node-1"), None).await, direct(of_node));
        let of_region = all.iter().filter(|receipt| receipt.region == "eu-west");
        assert_eq!(
            stored(&store, None, Some("eu-west")).await,
            direct(of_region)
        );
    })
    .await;
}

#[tokio::test]
async fn a_range_has_its_first_minute_and_not_its_last() {
    crate::support::on_both(|store| async move {
        let all = receipts(300);
        store.inspect().rollups_add(&all).await.expect("add");
        let first = minute_of(START_MS);
        let range = RollupRange {
            node_id: Some("node-2".to_owned()),
            region: None,
            from_minute: first + 3,
            to_minute: first + 7,
        };
        let written = store.inspect().rollups_range(&ALL, &range).await;
        let rows = written.expect("range").rows;
        let minutes: Vec<i64> = rows.iter().map(|(key, _)| key.minute).collect();
        assert_eq!(minutes, [first + 3, first + 4, first + 5, first + 6]);
    })
    .await;
}

#[tokio::test]
async fn writers_at_once_lose_nothing() {
    crate::support::on_both(|store| async move {
        let all = receipts(400);
        let writers = all.chunks(50).map(|batch| {
            let (store, batch) = (store.clone(), batch.to_vec());
            tokio::spawn(async move {
                for half in batch.chunks(25) {
                    store.inspect().rollups_add(half).await.expect("add");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("writer");
        }
        assert_eq!(stored(&store, None, None).await, direct(&all));
    })
    .await;
}
