//! Sums of receipts: of every filter and of ranges that end anywhere, from what agents sent.

use super::{Network, Sent, busy, on_both_with, settings, time, ttft, vary};
use crate::agents::{self, SOON};
use crate::server::Who;
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::Settings;
use dgon_protocol::receipt::{Status, TokensSource};
use serde_json::{Value, json};
use std::time::Duration;

const MINUTE_MS: i64 = 60_000;
const QUARTER_MS: i64 = 15 * MINUTE_MS;

/// The sums of a query are those of these receipts, all of them.
pub(super) async fn assert_sums(network: &Network, who: &Who, query: &str, of: &[&Sent]) {
    let path = format!("/receipts/aggregate?{query}");
    let sums = network.console.read(who, &path).await;
    let total = |of_one: fn(&Sent) -> u64| of.iter().map(|sent| of_one(sent)).sum::<u64>();
    let count = |is: fn(&Sent) -> bool| of.iter().filter(|sent| is(sent)).count();
    assert_eq!(sums["count"], of.len(), "{query}");
    assert_eq!(
        sums["tokens_input"],
        total(|sent| sent.draft.tokens_input),
        "{query}"
    );
    assert_eq!(
        sums["tokens_output"],
        total(|sent| sent.draft.tokens_output),
        "{query}"
    );
    let lacking = count(|sent| sent.draft.tokens_source == Some(TokensSource::Unknown));
    assert_eq!(sums["tokens_not_counted"], lacking, "{query}");
    assert_eq!(
        sums["failures"],
        count(|sent| sent.draft.status == Status::Error),
        "{query}"
    );
    let known = count(|sent| sent.draft.cache_hit.is_some());
    let hits = count(|sent| sent.draft.cache_hit == Some(true));
    let share = match known {
        0 => Value::Null,
        known => json!(hits as f64 / known as f64),
    };
    assert_eq!(sums["cache_hit_share"], share, "{query}");
    assert_eq!(
        (sums["p50_ms"].clone(), sums["p95_ms"].clone()),
        ttft(of),
        "{query}"
    );
    assert_eq!(sums["complete"], true, "{query}");
    let now = time(network.clock.now_ms());
    assert_eq!(sums["indexed_to"], now, "{query}");
}

#[tokio::test]
async fn a_sum_of_more_than_is_read_at_once_says_so_and_is_of_the_newest() {
    let three = || Settings {
        sum_receipts: 3,
        ..settings()
    };
    on_both_with(three, |mut network| async move {
        busy(&mut network).await;
        let admin = network.console.sign_in(Role::Admin).await;
        let of_model = |sent: &&Sent| sent.draft.model_id == "phi4";
        let newest: Vec<&Sent> = network.sent.iter().filter(of_model).take(3).collect();
        let input: u64 = newest.iter().map(|sent| sent.draft.tokens_input).sum();
        for (query, count, input, complete) in [
            ("model_id=phi4", 3, Some(input), false),
            ("source=probe", 2, None, true),
            // What was summed when it came needs no reading.
            ("", network.sent.len(), None, true),
        ] {
            let path = format!("/receipts/aggregate?{query}");
            let sums = network.console.read(&admin, &path).await;
            assert_eq!(sums["complete"], complete, "{query}");
            assert_eq!(sums["count"], count, "{query}");
            if let Some(input) = input {
                assert_eq!(sums["tokens_input"], input, "{query}");
            }
        }
        // So it is of one's own node; of somebody else's there is nothing, in minutes that are still open, too.
        let operator = network.console.sign_in(Role::Operator).await;
        let own = |sent: &&Sent| sent.draft.node_id.as_str() == "rig-own";
        let own = network.sent.iter().filter(own).count();
        assert!(own > 3);
        for (query, count, complete) in [
            ("node_id=rig-own", own, true),
            ("node_id=rig-foreign", 0, true),
            ("", own, true),
            ("model_id=phi4", 3, false),
        ] {
            let path = format!("/receipts/aggregate?{query}");
            let sums = network.console.read(&operator, &path).await;
            assert_eq!(sums["count"], count, "{query}");
            assert_eq!(sums["complete"], complete, "{query}");
        }
    })
    .await;
}

/// Ranges that end anywhere, as an admin and as an operator sees them, of all regions and of one.
async fn assert_ranges(network: &Network, ends: &[Option<i64>]) {
    let admin = network.console.sign_in_again(Role::Admin).await;
    let operator = network.console.sign_in_again(Role::Operator).await;
    let end = |name: &str, end_ms: Option<i64>| {
        end_ms.map_or_else(String::new, |end_ms| {
            format!("&{name}={}", time(end_ms).as_str().expect("a time"))
        })
    };
    for (from, to) in ends
        .iter()
        .flat_map(|from| ends.iter().map(move |to| (*from, *to)))
    {
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            continue;
        }
        for region in ["", "eu-west", "us-east"] {
            let is_meant = |sent: &&Sent| {
                from.is_none_or(|from| sent.received_ms >= from)
                    && to.is_none_or(|to| sent.received_ms < to)
                    && (region.is_empty() || sent.draft.region.as_deref() == Some(region))
            };
            let of: Vec<&Sent> = network.sent.iter().filter(is_meant).collect();
            let mut query = format!("{}{}", end("from", from), end("to", to));
            if !region.is_empty() {
                query = format!("{query}&region={region}");
            }
            assert_sums(network, &admin, &query, &of).await;
            let own = |sent: &&Sent| sent.draft.node_id.as_str() == "rig-own";
            let of: Vec<&Sent> = of.into_iter().filter(own).collect();
            assert_sums(network, &operator, &query, &of).await;
        }
    }
}

/// Few receipts are read one by one here, so that a sum which is not made of rows would be short.
#[tokio::test]
async fn sums_of_any_range_are_whole_before_its_quarters_are_closed_and_after() {
    let settings = || Settings {
        sum_receipts: 1,
        closing_interval: Duration::from_millis(20),
        ..settings()
    };
    on_both_with(settings, |mut network| async move {
        busy(&mut network).await;
        for role in [Role::Admin, Role::Operator] {
            network.console.sign_in(role).await;
        }
        let first_ms = network.sent[network.sent.len() - 1].received_ms;
        for n in 12..20u64 {
            network.clock.advance(4 * MINUTE_MS + 7_001);
            let at = usize::from(n % 3 == 0);
            network.send(at, |draft| vary(draft, n)).await;
        }
        let last_ms = network.sent[0].received_ms;
        let quarter = (first_ms + QUARTER_MS).div_euclid(QUARTER_MS) * QUARTER_MS;
        let ends = [
            None,
            Some(first_ms + 1),
            Some(quarter - 3 * MINUTE_MS + 5_123),
            Some(quarter),
            Some(quarter + 2 * MINUTE_MS),
            Some(last_ms),
        ];
        assert_ranges(&network, &ends).await;
        network.clock.advance(2 * QUARTER_MS);
        let store = &network.server.app.store;
        let closing = async {
            while store.rollups_closed(agents::SERVER).await.expect("border") * MINUTE_MS <= last_ms
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, closing)
            .await
            .expect("quarters are closed");
        assert_ranges(&network, &ends).await;
    })
    .await;
}
