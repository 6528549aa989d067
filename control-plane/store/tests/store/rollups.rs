//! Sums of receipts: any cut into batches, on both databases, from many writers at once.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::support::{ALL, SERVER, enrol, token_of};
use dgon_control_plane_model::rollup::{Ending, ReceiptFacts, Sums, minute_of, quarter_of};
use dgon_control_plane_store::rollups_range::{NODE_ROWS, RollupRange, SumsOf, Total};
use dgon_control_plane_store::{Closing, Dialect, Enrolment, Store};
use dgon_testkit::seed::{Seed, seed};

const START_MS: i64 = 1_800_000_000_000;

/// Receipts of three nodes in two regions over forty minutes, none like the other.
fn receipts(count: i64) -> Vec<ReceiptFacts> {
    (0..count)
        .map(|n| ReceiptFacts {
            node_id: format!("node-{}", n % 3),
            org_id: (n % 3 > 0).then(|| format!("org-{}", n % 3)),
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

/// What the rows of a range add up to.
async fn total(store: &Store, range: &RollupRange) -> Sums {
    let total = store.rollups_total(&ALL, range).await.expect("total");
    match total {
        Total::Whole { sums, .. } => sums,
        Total::NotAll => panic!("few rows"),
    }
}

async fn stored(store: &Store, of: SumsOf, region: Option<&str>) -> Sums {
    let range = RollupRange {
        region: region.map(str::to_owned),
        ..RollupRange::whole(of)
    };
    total(store, &range).await
}

#[tokio::test]
async fn batches_add_up_to_the_direct_sums() {
    crate::support::on_both(|store| async move {
        let all = receipts(700);
        for batch in all.chunks(97) {
            store.inspect().rollups_add(batch).await.expect("add");
        }
        assert_eq!(stored(&store, SumsOf::Network, None).await, direct(&all));
        let of_node = all.iter().filter(|receipt| receipt.node_id == "node-1");
        assert_eq!(
            stored(&store, SumsOf::Node("node-1".to_owned()), None).await,
            direct(of_node)
        );
        let of_region = all.iter().filter(|receipt| receipt.region == "eu-west");
        assert_eq!(
            stored(&store, SumsOf::Network, Some("eu-west")).await,
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
            of: SumsOf::Node("node-2".to_owned()),
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

/// Nodes of these organisations are enrolled, so that their rows are theirs.
async fn enrolled(store: &Store) {
    for n in 0..3_i64 {
        let org = (n > 0).then(|| format!("org-{n}"));
        let token = token_of(store, &format!("t{n}"), org.as_deref()).await;
        let name = format!("node-{n}");
        let seed = u8::try_from(n).expect("small");
        let enrolment = enrol(store, &token, &name, seed).await;
        assert!(matches!(enrolment, Enrolment::Enrolled { .. }));
    }
}

/// Closes quarters of an hour until there is none before a minute.
async fn close(store: &Store, before: i64) -> Vec<Closing> {
    let mut all = Vec::new();
    loop {
        // A few rows at once, so that others come in between.
        let closing = store.inspect().rollups_close_next(before, 2).await;
        match closing.expect("close") {
            Closing::Nothing => return all,
            closing => all.push(closing),
        }
    }
}

/// What is closed is what the receipts say, and nothing beyond.
async fn assert_closed(store: &Store, all: &[ReceiptFacts], closed: i64) {
    assert_eq!(store.rollups_closed(SERVER).await.expect("border"), closed);
    let is_closed = |facts: &&ReceiptFacts| minute_of(facts.received_at_ms) < closed;
    let stored = async |of| {
        let range = RollupRange {
            to_minute: closed,
            ..RollupRange::whole(of)
        };
        total(store, &range).await
    };
    let network = direct(all.iter().filter(is_closed));
    assert_eq!(stored(SumsOf::NetworkMinutes).await, network);
    for org in ["org-1", "org-2"] {
        let of_org = |facts: &&ReceiptFacts| facts.org_id.as_deref() == Some(org);
        let wanted = direct(all.iter().filter(is_closed).filter(of_org));
        let organisation = SumsOf::Organisation(org.to_owned());
        assert_eq!(stored(organisation).await, wanted, "{org}");
        let nodes = SumsOf::OrganisationsNodes(org.to_owned());
        assert_eq!(stored(nodes).await, wanted, "{org}");
    }
}

#[tokio::test]
async fn what_is_closed_adds_up_to_the_direct_sums_whenever_it_comes() {
    crate::support::on_both(|store| async move {
        enrolled(&store).await;
        let (mut all, first) = (receipts(300), minute_of(START_MS));
        store.inspect().rollups_add(&all).await.expect("add");
        // The quarter that is not over is left alone.
        let closings = close(&store, first + 31).await;
        assert!(
            closings
                .iter()
                .all(|closing| matches!(closing, Closing::Closed(_)))
        );
        assert_eq!(closings.len(), 2, "one for each quarter");
        assert_closed(&store, &all, first + 30).await;
        // Late ones are added to what is closed, and others are not.
        let late = receipts(77);
        store.inspect().rollups_add(&late).await.expect("add");
        all.extend(late);
        assert_closed(&store, &all, first + 30).await;
        assert_eq!(close(&store, first + 44).await, []);
        // What nothing came in is passed with the first quarter after it, and not before: the clock may be wrong.
        let year = 365 * 1_440;
        assert_eq!(close(&store, first + 2 * year).await.len(), 1);
        assert_closed(&store, &all, first + 45).await;
        assert_eq!(close(&store, first + 2 * year).await, []);
        let mut later = receipts(50);
        for facts in &mut later {
            facts.received_at_ms += year * 60_000;
        }
        store.inspect().rollups_add(&later).await.expect("add");
        all.extend(later);
        assert_eq!(close(&store, first + year + 30).await.len(), 2);
        assert_closed(&store, &all, first + year + 30).await;
    })
    .await;
}

/// Who adds to minutes that are being closed makes whoever closes them begin anew, and nothing is lost or counted twice.
#[tokio::test]
async fn closing_and_late_writers_at_once_lose_nothing() {
    crate::support::on_both(|store| async move {
        enrolled(&store).await;
        let (mut all, first) = (receipts(300), minute_of(START_MS));
        store.inspect().rollups_add(&all).await.expect("add");
        let late = receipts(120);
        let writer = {
            let (store, late) = (store.clone(), late.clone());
            tokio::spawn(async move {
                for one in late.chunks(3) {
                    store.inspect().rollups_add(one).await.expect("add");
                }
            })
        };
        while !writer.is_finished() {
            close(&store, first + 30).await;
            tokio::task::yield_now().await;
        }
        writer.await.expect("writer");
        all.extend(late);
        close(&store, first + 30).await;
        assert_closed(&store, &all, first + 30).await;
    })
    .await;
}

/// What was written of a quarter counts for nothing until all of it is, and is made anew when somebody came in between.
#[tokio::test]
async fn a_quarter_that_is_written_in_part_is_not_closed() {
    crate::support::on_both(|store| async move {
        enrolled(&store).await;
        let (mut all, first) = (receipts(300), minute_of(START_MS));
        store.inspect().rollups_add(&all).await.expect("add");
        let refuse = match store.inspect().dialect() {
            Dialect::Sqlite => {
                "CREATE TRIGGER refused BEFORE UPDATE OF minute ON rollups_closed BEGIN SELECT RAISE(ABORT, 'refused'); END"
            }
            Dialect::Postgres => {
                "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$; \
                 CREATE TRIGGER refused BEFORE UPDATE OF minute ON rollups_closed FOR EACH ROW EXECUTE FUNCTION refused()"
            }
        };
        store.inspect().execute(refuse).await.expect("trigger");
        let closing = store.inspect().rollups_close_next(first + 30, 2).await;
        assert!(closing.is_err(), "{closing:?}");
        assert_closed(&store, &[], 0).await;
        let late = receipts(40);
        store.inspect().rollups_add(&late).await.expect("add");
        all.extend(late);
        assert_closed(&store, &[], 0).await;
        let drop = match store.inspect().dialect() {
            Dialect::Sqlite => "DROP TRIGGER refused",
            Dialect::Postgres => "DROP TRIGGER refused ON rollups_closed",
        };
        store.inspect().execute(drop).await.expect("drop");
        assert_eq!(close(&store, first + 30).await.len(), 2);
        assert_closed(&store, &all, first + 30).await;
    })
    .await;
}

/// A row that cannot be read is counted from its receipts while they are there, and left out afterwards: it stops nobody.
#[tokio::test]
async fn a_damaged_row_of_a_node_is_not_left_out_of_what_is_closed() {
    crate::support::on_both(|store| async move {
        let seeded = Seed::day(2, 40, START_MS);
        seed(&store, &seeded, |_| {}).await.expect("seed");
        let end = quarter_of(minute_of(START_MS));
        let damage = match store.inspect().dialect() {
            Dialect::Sqlite => "UPDATE rollups SET ttft = X'FF' WHERE node_id = 'node-00000'",
            Dialect::Postgres => "UPDATE rollups SET ttft = '\\xff' WHERE node_id = 'node-00000'",
        };
        store.inspect().execute(damage).await.expect("damage");
        let range = |of| RollupRange {
            to_minute: end,
            ..RollupRange::whole(of)
        };
        let own = || SumsOf::Organisation("org-1".to_owned());
        let network = total(&store, &range(SumsOf::Network)).await;
        assert!(network.requests > 70, "{network:?}");
        let nodes = RollupRange::whole(SumsOf::OrganisationsNodes("org-1".to_owned()));
        let nodes = store.rollups_total(&ALL, &nodes).await.expect("nodes");
        assert_eq!(nodes, Total::NotAll, "and is no fault of the others");
        for (receipts_from, is_counted) in [(0, true), (end, false)] {
            store.inspect().execute(AGAIN).await.expect("again");
            while let Closing::Closed(_) = store
                .rollups_close_next(SERVER, end, receipts_from)
                .await
                .expect("close")
            {}
            let unclosed = store.rollups_unclosed(SERVER).await.expect("first");
            assert!(unclosed.is_none_or(|first| first >= end), "{unclosed:?}");
            let minutes = total(&store, &range(SumsOf::NetworkMinutes)).await;
            let organisation = total(&store, &range(own())).await;
            if is_counted {
                assert_eq!((minutes, organisation.requests), (network.clone(), 40));
            } else {
                assert_eq!(
                    (minutes.requests, organisation.requests),
                    (network.requests - 40, 0)
                );
            }
        }
    })
    .await;
}

/// Lets everything be closed once more.
const AGAIN: &str = "DELETE FROM rollups WHERE node_id LIKE '@%'; UPDATE rollups_closed SET minute = 0, closing = 0";

#[tokio::test]
async fn more_rows_of_an_organisations_nodes_than_are_read_are_none() {
    crate::support::on_both(|store| async move {
        enrolled(&store).await;
        let few = receipts(3);
        let rows = i64::try_from(NODE_ROWS).expect("small");
        for minutes in (0..=rows).collect::<Vec<_>>().chunks(2_000) {
            let many: Vec<ReceiptFacts> = minutes
                .iter()
                .map(|minute| ReceiptFacts {
                    received_at_ms: START_MS + minute * 60_000,
                    ..few[1].clone()
                })
                .collect();
            store.inspect().rollups_add(&many).await.expect("add");
        }
        let mut range = RollupRange::whole(SumsOf::OrganisationsNodes("org-1".to_owned()));
        let many = store.rollups_total(&ALL, &range).await.expect("total");
        assert_eq!(many, Total::NotAll);
        range.from_minute = minute_of(START_MS) + 1;
        assert_eq!(total(&store, &range).await.requests, rows);
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
        assert_eq!(stored(&store, SumsOf::Network, None).await, direct(&all));
    })
    .await;
}
