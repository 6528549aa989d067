//! One bare strict verification of a signature, µs of CPU: what ingest is measured by (`make bench ONLY=ingest`).
//!
//! A program of its own, so that its code is generated as the server's is. It prints JSON: the time, and whether the CPU has
//! the instructions of the faster backend (AVX-512 IFMA).

use dgon_protocol::key::NodeKey;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 9;
const VERIFIES: u32 = 200;
/// Signed bytes of a usual receipt.
const BYTES: usize = 635;

#[cfg(target_arch = "x86_64")]
fn has_ifma() -> bool {
    is_x86_feature_detected!("avx512ifma") && is_x86_feature_detected!("avx512vl")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_ifma() -> bool {
    false
}

/// Time that this thread has had a core; all time where the system does not tell, as only Linux does.
fn worked(since: Instant) -> Duration {
    // The kernel counts when a thread leaves its core.
    std::thread::sleep(Duration::from_micros(1));
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

fn main() {
    let key = NodeKey::from_seed(&[7; 32]);
    let message = vec![b'x'; BYTES];
    let (signature, public) = (key.sign(&message), key.public());
    let start = Instant::now();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let before = worked(start);
            for _ in 0..VERIFIES {
                black_box(public.verify(black_box(&message), &signature));
            }
            (worked(start) - before).as_secs_f64() * 1e6 / f64::from(VERIFIES)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!(
        "{}",
        serde_json::json!({ "us": rounds[ROUNDS / 2], "has_ifma": has_ifma() })
    );
}
