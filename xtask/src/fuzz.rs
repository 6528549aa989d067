//! Coverage-guided fuzzing with libFuzzer on the stable toolchain.
//!
//! The instrumentation is LLVM's own pass, asked for through stable code generation flags, so that no nightly
//! compiler and no extra cargo command is needed. Finds are kept under `target/fuzz/artifacts`.

use crate::shell;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
/// Memory that a target may use, MiB.
const MEMORY_MIB: u32 = 1024;

/// Requests to begin with: path, content type, content encoding and body, a line each.
const REQUESTS: [&str; 5] = [
    "/v1/chat/completions\napplication/json\n\n{\"model\":\"m\",\"stream\":true,\"messages\":[]}",
    "//v1/%63ompletions\n\n\n{\"stream_options\":{\"include_usage\":false},\"stream\":1,\"model\":\"m\"}",
    "/v1/completions\n\n\n{\"stream_options\":null,\"prompt\":[\"a\",\"b\"],\"n\":2,\"MODEL\":\"m\"}",
    "/v1/audio/transcriptions\nmultipart/form-data; boundary=b\n\n--b\r\n\
     Content-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--\r\n",
    "/generate\napplication/x-www-form-urlencoded\ngzip\nmodel=m&stream=true",
];

/// Chunks of answers to begin with, a line each.
const CHUNKS: [&str; 2] = [
    "{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"b\",\"refusal\":null},\
     \"finish_reason\":\"stop\"}]}\n{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\
     \"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}",
    "{\"b\":[1e23,-0.0,4.50],\"a\":{\"\\u20ac\":null,\"\\ud83d\\ude00\":true},\"choices\":[{\"text\":\"x\"}]}",
];

/// Fuzzes each target for `seconds`.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let host = host_triple()?;
    let work = shell::target_dir().join("fuzz");
    // A named target keeps the flags away from build scripts.
    shell::check(
        shell::cargo()
            .args([
                "build",
                "--release",
                "--quiet",
                "--manifest-path",
                "testkit/fuzz/Cargo.toml",
                "--target",
                &host,
                "--target-dir",
            ])
            .arg(&work)
            .env("RUSTFLAGS", COVERAGE),
    )?;
    let mut passed = 0;
    for target in targets()? {
        let corpus = work.join("corpus").join(&target);
        let artifacts = work.join("artifacts");
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        seed(&target, &corpus)?;
        println!("fuzz {target} for {seconds} s");
        let log = std::fs::File::create(work.join(format!("{target}.log")))?;
        let mut fuzzer = shell::command(work.join(&host).join("release").join(&target));
        fuzzer.arg(format!("-max_total_time={seconds}")).args([
            "-timeout=10",
            "-close_fd_mask=0",
            "-print_final_stats=1",
        ]);
        fuzzer
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!(
                "-artifact_prefix={}/{target}-",
                artifacts.display()
            ))
            .arg(&corpus);
        let status = fuzzer
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .with_context(|| format!("fuzz target {target} could not be started"))?;
        if !status.success() {
            let text = std::fs::read_to_string(work.join(format!("{target}.log")))?;
            let tail: Vec<&str> = text.lines().rev().take(30).collect();
            bail!(
                "fuzz target {target} found something; the input is in {}\n{}",
                artifacts.display(),
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        passed += 1;
    }
    println!("fuzz: {passed} targets clean");
    Ok(())
}

/// Targets are the files of the folder.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(shell::root().join("testkit/fuzz/fuzz_targets"))? {
        if let Some(name) = entry?.path().file_stem() {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Starts a corpus from the examples in the repository: one input per line of a JSON-lines file, or one per file.
fn seed(target: &str, corpus: &Path) -> Result<()> {
    let root = shell::root();
    if target == "receipt" {
        let vectors = std::fs::read_to_string(root.join("protocol/tests/data/receipts.jsonl"))?;
        for (i, line) in vectors.lines().enumerate() {
            std::fs::write(corpus.join(format!("vector-{i}")), line)?;
        }
    }
    if target == "order" {
        for entry in std::fs::read_dir(root.join("protocol/tests/snapshots"))? {
            let path = entry?.path();
            let text = std::fs::read_to_string(&path)?;
            // Behind its head, a snapshot is the one line that was signed.
            let line = text.lines().last().filter(|line| line.starts_with('{'));
            if let (Some(line), Some(name)) = (line, path.file_name()) {
                std::fs::write(corpus.join(name), line)?;
            }
        }
    }
    if target == "content" {
        for (i, chunk) in CHUNKS.iter().enumerate() {
            std::fs::write(corpus.join(format!("chunks-{i}")), chunk)?;
        }
    }
    if target == "request" {
        for (i, request) in REQUESTS.iter().enumerate() {
            std::fs::write(corpus.join(format!("request-{i}")), request)?;
        }
    }
    let exchanges = root.join("testkit/exchanges");
    if target == "meter" && exchanges.is_dir() {
        for entry in std::fs::read_dir(exchanges)? {
            let path = entry?.path();
            if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                std::fs::copy(&path, corpus.join(name))?;
            }
        }
    }
    Ok(())
}

fn host_triple() -> Result<String> {
    let version = shell::output(shell::command("rustc").arg("-vV"))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line
        .context("rustc does not say for which machine it compiles")?
        .to_owned())
}
