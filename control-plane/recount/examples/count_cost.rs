//! What counting costs: time for each kind of text, at growing sizes, and the memory of the process at its highest.
//!
//! ```sh
//! cargo run --profile quick -p dgon-control-plane-recount --example count_cost [DIR]
//! ```
//!
//! `DIR` is a directory of tokenizers (`models.yaml` and so on); without it the small ones of the tests are measured.
//! Each row is one tokenizer and one kind of text; the columns are milliseconds of one core (of the clock, where the
//! system does not say that) for a text of so many KiB, and the most for each KiB from 64 on. Texts over 512 KiB are counted in
//! pieces.

use dgon_control_plane_recount::{AnswerText, Counted, Counter, ModelRef, Route, index, read};
use std::path::PathBuf;
use std::time::Instant;

const SIZES_KIB: [usize; 4] = [4, 64, 512, 4096];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let directory = PathBuf::from(
        std::env::args()
            .nth(1)
            .unwrap_or_else(|| default.to_owned()),
    );
    let started = Instant::now();
    let counter = read(&directory)?;
    println!(
        "read in {} ms, {} MiB",
        started.elapsed().as_millis(),
        most_memory_mib()
    );
    let entries = index::parse(&std::fs::read(directory.join("models.yaml"))?)?;
    println!(
        "{:<12} {:<22} {}",
        "tokenizer",
        "text",
        SIZES_KIB.map(|kib| format!("{kib:>6} KiB")).join(" ")
    );
    for entry in &entries {
        let digest = entry.digests.first().copied();
        let id = entry.models.first().map_or("", String::as_str);
        let model = ModelRef { digest, id };
        for (kind, unit) in texts() {
            row(&counter, model, &entry.name, kind, &unit);
        }
        messages(&counter, model, &entry.name);
    }
    println!("most memory: {} MiB", most_memory_mib());
    if let Some(entry) = entries.first() {
        let id = entry.models.first().map_or("", String::as_str);
        hostile_json(&counter, ModelRef { digest: None, id });
    }
    Ok(())
}

fn row(counter: &Counter, model: ModelRef<'_>, name: &str, kind: &str, unit: &str) {
    let mut columns = String::new();
    let mut most = 0.0_f64;
    for kib in SIZES_KIB {
        let text = unit.repeat(kib * 1024 / unit.len());
        let (counted, ms) = timed(|| counter.count_answer(model, &[AnswerText::of(&text)]));
        // The system says in steps of a few milliseconds who had a core.
        if kib >= 64 {
            most = most.max(ms * 1000.0 / kib as f64);
        }
        columns.push_str(&format!(
            " {ms:>8.1}{}",
            if counted.for_countersignature().is_some() {
                "ms"
            } else {
                "--"
            }
        ));
    }
    println!("{name:<12} {kind:<22}{columns}  {most:.0} us/KiB");
}

/// The way of a request: JSON, template, tokens.
fn messages(counter: &Counter, model: ModelRef<'_>, name: &str) {
    for (count, content) in [(2, 2048), (4095, 8), (401, 1000), (4095, 900)] {
        let turn = |at: usize| {
            let role = if at.is_multiple_of(2) {
                "user"
            } else {
                "assistant"
            };
            format!(
                r#"{{"role":"{role}","content":"{}"}}"#,
                "Say hi to it. ".repeat(content / 14 + 1)
            )
        };
        let count = count | 1;
        let turns: Vec<String> = (0..count).map(turn).collect();
        let body = format!(r#"{{"messages":[{}]}}"#, turns.join(","));
        let (counted, ms) = timed(|| counter.count_request(model, Route::Chat, body.as_bytes(), 0));
        let kib = body.len() / 1024;
        println!(
            "{name:<12} {count} messages, {kib} KiB: {ms:.1} ms, {}",
            counted.level.as_str()
        );
    }
}

/// Requests that are mostly structure.
fn hostile_json(counter: &Counter, model: ModelRef<'_>) {
    for (kind, unit) in [
        ("numbers", "1,"),
        ("lists", "[],"),
        ("objects", "{},"),
        ("members", "{\"a\":0},"),
    ] {
        let list = unit.repeat(4 * 1024 * 1020 / unit.len());
        let body = format!(r#"{{"messages":[],"documents":[{}0]}}"#, list);
        let (counted, ms) = timed(|| counter.count_request(model, Route::Chat, body.as_bytes(), 0));
        let level = counted.level.as_str();
        println!(
            "4 MiB of {kind}: {ms:.0} ms, {level}; most memory: {} MiB",
            most_memory_mib()
        );
    }
}

/// Kinds of text: what people send, and what somebody would send who wants counting to be slow.
fn texts() -> Vec<(&'static str, String)> {
    let mut seed = 7_u64;
    let mut random = |letters: &[char], count: usize| -> String {
        let letter = |_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            letters[(seed >> 33) as usize % letters.len()]
        };
        (0..count).map(letter).collect()
    };
    let letters: Vec<char> = ('a'..='z').collect();
    let cjk: Vec<char> = ('\u{4e00}'..'\u{5e00}').collect();
    vec![
        ("prose", include_str!("../src/lib.rs").replace("//! ", "")),
        ("a", "a".to_owned()),
        ("spaces", " ".to_owned()),
        ("spaces, then a letter", format!("{}x", " ".repeat(1023))),
        ("lines", "\n".to_owned()),
        ("spaces and lines", " \n".to_owned()),
        ("digits", "1".to_owned()),
        ("signs", "=".to_owned()),
        ("random letters", random(&letters, 4096)),
        ("random CJK", random(&cjk, 1365)),
        ("emoji", "👩\u{200d}💻".to_owned()),
        ("combining marks", "\u{0301}\u{0316}".to_owned()),
        ("long ligature", "\u{fdfa}".to_owned()),
        ("zeros", "\u{0}".to_owned()),
        ("words of 200 letters", random(&letters, 200) + " "),
        ("special tokens", "<|im_end|>".to_owned()),
        ("apostrophes", "'".to_owned()),
    ]
}

/// What `count` gives, and the milliseconds that it took.
fn timed(count: impl FnOnce() -> Counted) -> (Counted, f64) {
    let (clock, core) = (Instant::now(), core_ns());
    let counted = count();
    let ms = match (core, core_ns()) {
        (Some(before), Some(after)) => (after - before) as f64 / 1e6,
        _ => clock.elapsed().as_secs_f64() * 1e3,
    };
    (counted, ms)
}

/// Nanoseconds that this thread had a core for.
fn core_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok()
}

/// The most memory that this process ever had, MiB; 0 where the system does not say it.
fn most_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
