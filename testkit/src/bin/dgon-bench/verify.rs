//! Reading and verifying a receipt, against one bare strict verification of the same bytes.

use crate::report::{Report, Row, quantile};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::key::{NodeKey, parse_signature};
use dgon_protocol::receipt::{Draft, Receipt, Sha256Hash, Source, Status, TokensSource};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 60;
const PER_ROUND: u32 = 200;

fn draft() -> Option<Draft> {
    Some(Draft {
        request_id: RequestId::parse("r_01J8KQ0000000000000000000A").ok()?,
        node_id: NodeId::parse("macbook-001").ok()?,
        region: Some("ap-southeast".into()),
        ts_start: 1_736_538_502,
        ts_end: 1_736_538_518,
        model_id: "llama3.1-8b".into(),
        model_hash: Some(format!("sha256:{}", "ab".repeat(32))),
        prompt_hash: Some(format!("blake3:{}", "cd".repeat(32))),
        tokens_input: 128,
        tokens_output: 92,
        p95_ms: Some(310),
        s3_checkpoints: vec![100],
        hedged: false,
        cache_hit: Some(true),
        seq: 7,
        prev_hash: Sha256Hash::of(b"before"),
        status: Status::Ok,
        ttft_ms: Some(210),
        latency_ms: 16_000,
        runtime: Some("ollama".into()),
        source: Source::Local,
        tokens_cached: Some(64),
        output_hash: Some(format!("blake3:{}", "ef".repeat(32))),
        energy_mwh: None,
        order_hash: None,
        tokens_source: Some(TokensSource::Usage),
        error: None,
    })
}

/// Microseconds of one call, over many.
fn micros(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..PER_ROUND {
        call();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(PER_ROUND)
}

/// Measures both in turns, so that noise hits both.
pub(crate) fn measure(report: &mut Report) {
    let key = NodeKey::from_seed(&[7; 32]);
    let Some(signed) = draft().map(|draft| draft.sign(&key)) else {
        return;
    };
    let public = key.public();
    let Ok(receipt) = Receipt::parse(&signed.entry_bytes) else {
        return;
    };
    let Some(signature) = parse_signature(&receipt.signature) else {
        return;
    };
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(micros(|| {
            black_box(public.verify(black_box(receipt.signed_bytes()), &signature));
        }));
        whole.push(micros(|| {
            let receipt = Receipt::parse(black_box(&signed.entry_bytes));
            black_box(receipt.is_ok_and(|receipt| {
                receipt.verify(&public) && receipt.entry_hash() == signed.entry_hash
            }));
        }));
    }
    bare.sort_by(f64::total_cmp);
    whole.sort_by(f64::total_cmp);
    let (bare, whole) = (quantile(&bare, 0.5), quantile(&whole, 0.5));
    report.add(Row {
        what: format!(
            "parse, verify and hash a receipt of {} bytes",
            signed.entry_bytes.len()
        ),
        floor: format!("bare strict verify {bare:.1} µs"),
        ours: format!("{whole:.1} µs"),
        peer: String::new(),
        ratio: format!("{:.2}×", whole / bare),
        goal: "≤ 1.20×".into(),
        reached: whole / bare <= 1.2,
    });
}
