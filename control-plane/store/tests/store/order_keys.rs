//! Keys of work orders: all that ever were, and a process that begins ends those of the one before it.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{SERVER, on_both};
use dgon_control_plane_store::Store;
use dgon_protocol::order::{OrderKey, OrderSigningKey};

fn key(n: u8, not_before_ms: i64, not_after_ms: i64) -> OrderKey {
    OrderSigningKey::from_seed(&[n; 32]).order_key(not_before_ms, not_after_ms)
}

async fn begin(store: &Store, key: &OrderKey, at_ms: i64, ends_former: bool) {
    let begun = store.order_key_begin(SERVER, key, at_ms, ends_former);
    begun.await.expect("kept");
}

async fn all(store: &Store) -> Vec<OrderKey> {
    let rows = store.order_key_list(SERVER, None, 100).await;
    rows.expect("keys").into_iter().map(|row| row.key).collect()
}

#[tokio::test]
async fn a_process_that_begins_ends_the_keys_before_it_and_none_before_its_beginning() {
    on_both(|store| async move {
        let over = key(1, 10, 500);
        let running = key(2, 20, 5_000);
        // Made by a clock that went back since.
        let ahead = key(3, 2_000, 9_000);
        for (key, at_ms) in [(&over, 10), (&running, 20), (&ahead, 2_000)] {
            begin(&store, key, at_ms, false).await;
        }
        let mine = key(4, 990, 6_000);
        begin(&store, &mine, 1_000, true).await;
        let ended = |key: &OrderKey, not_after_ms| OrderKey {
            not_after_ms,
            ..key.clone()
        };
        let expected = [
            ended(&ahead, 2_000),
            mine.clone(),
            ended(&running, 1_000),
            over,
        ];
        assert_eq!(all(&store).await, expected);
        // The next one of the same process ends nothing.
        let next = key(5, 3_000, 8_000);
        begin(&store, &next, 3_000, false).await;
        assert_eq!(all(&store).await[..1], [next]);
        assert!(all(&store).await.contains(&mine));
        // A key that is there already is not begun again, and nothing ends for it.
        let again = store.order_key_begin(SERVER, &mine, 4_000, true).await;
        assert!(again.is_err());
        assert!(all(&store).await.contains(&mine));
    })
    .await;
}

#[tokio::test]
async fn pages_have_each_key_once_also_of_one_moment() {
    on_both(|store| async move {
        for n in 0..7 {
            begin(&store, &key(n, 1, 2), i64::from(n / 3), false).await;
        }
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let place = before
                .as_ref()
                .map(|(at_ms, kid): &(i64, String)| (*at_ms, kid.as_str()));
            let page = store
                .order_key_list(SERVER, place, 2)
                .await
                .expect("a page");
            let Some(last) = page.last() else { break };
            before = Some((last.created_at_ms, last.key.kid.to_string()));
            seen.extend(page.into_iter().map(|row| row.key));
        }
        assert_eq!(seen.len(), 7);
        assert_eq!(seen, all(&store).await);
    })
    .await;
}
