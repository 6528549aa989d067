//! Energy in receipts: measured from the request's beginning to its end, where the cards tell.

use super::support::*;
use dgon_agent::gpu::{EnergyMeter, EnergyReading};
use dgon_agent::runtime::RuntimeKind;
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BODY: &str = r#"{"model":"MODEL","messages":[{"role":"user","content":"hi"}]}"#;

#[tokio::test]
async fn a_receipt_carries_the_energy_of_its_request() {
    let config = SimConfig::new(Kind::Vllm);
    let model = config.model().to_owned();
    let sim = SimRuntime::start(config).await.unwrap();
    let sink = MemorySink::open();
    // A card that uses 1 Wh between any two readings.
    let counter = Arc::new(AtomicU64::new(0));
    let read = move || {
        let counter_mj = counter.fetch_add(3_600_000, Ordering::Relaxed);
        vec![EnergyReading {
            index: 0,
            counter_mj,
        }]
    };
    let meter = EnergyMeter::with_patience(read, Duration::from_secs(60)).unwrap();
    while meter.begin().is_none() {
        tokio::task::yield_now().await;
    }
    let mut settings = settings();
    settings.energy = Some(std::sync::Arc::new(meter));
    let found = vec![runtime(RuntimeKind::Vllm, sim.addr(), &model)];
    let proxy = proxy_with(found, &sink, settings).await;
    let reply = ask(
        proxy.addr,
        "/v1/chat/completions",
        &BODY.replace("MODEL", &model),
    )
    .await;
    assert_eq!(reply.status, 200);
    let facts = sink.only().await;
    let energy_mwh = facts.energy_mwh.unwrap();
    // Its beginning may have been noted by a reading of its own, or by the one at its end on a busy machine.
    assert!([0, 1_000].contains(&energy_mwh), "{energy_mwh}");
}
