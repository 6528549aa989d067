//! Every example exchange is read right, whatever its chunking, and its bytes come out as they went in.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

use bytes::Bytes;
use dgon_agent_core::facts::{Failure, TokensSource};
use dgon_agent_core::meter::{
    Dialect, Ending, Finish, Label, Measured, Meter, MeterSettings, Usage,
};
use dgon_protocol::receipt::Status;
use std::path::PathBuf;

use Dialect::{Llama, Ollama, OpenAi, Tgi, Triton};
use TokensSource::{Chunks, None as NoTokens, PartialUsage, Unknown, Usage as FromUsage};

// Not imported from the testkit, which is built on this crate.
#[path = "../../../testkit/src/odd.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "it is made for those who import it"
)]
mod odd;
#[path = "meter_exchanges/odd_exchanges.rs"]
mod odd_exchanges;
#[path = "meter_exchanges/properties.rs"]
mod properties;

const KEY: [u8; 32] = [7; 32];
const OK: Result<(), Failure> = Ok(());
const CUT: Result<(), Failure> = Err(Failure::Incomplete);
const SAID: Result<(), Failure> = Err(Failure::UpstreamError);

/// What an exchange must come to: file, dialect, outcome, finish, prompt, output, cached, source.
type Row = (
    &'static str,
    Dialect,
    Result<(), Failure>,
    Option<Finish>,
    u64,
    u64,
    Option<u64>,
    TokensSource,
);

const STOP: Option<Finish> = Some(Finish::Stop);
const LENGTH: Option<Finish> = Some(Finish::Length);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("ollama_chat_stream.ndjson", Ollama, OK, STOP, 26, 5, None, FromUsage),
    ("ollama_chat_stream_thinking_tool.ndjson", Ollama, OK, STOP, 118, 31, None, FromUsage),
    ("ollama_generate_stream.ndjson", Ollama, OK, LENGTH, 9, 2, None, FromUsage),
    ("ollama_chat_stream_error_midway.ndjson", Ollama, SAID, None, 0, 2, None, Chunks),
    ("ollama_chat_stream_no_terminal.ndjson", Ollama, CUT, None, 0, 5, None, Chunks),
    ("ollama_chat.json", Ollama, OK, STOP, 26, 5, None, FromUsage),
    ("ollama_generate_load.json", Ollama, OK, STOP, 0, 0, None, NoTokens),
    ("ollama_generate_unload.json", Ollama, OK, STOP, 0, 0, None, NoTokens),
    ("ollama_v1_chat.json", OpenAi, OK, STOP, 26, 5, None, FromUsage),
    ("ollama_v1_chat_stream_usage.sse", OpenAi, OK, STOP, 26, 5, None, FromUsage),
    ("ollama_v1_chat_stream_nousage.sse", OpenAi, OK, STOP, 0, 5, None, Chunks),
    ("ollama_v1_chat_stream_legacy.sse", OpenAi, OK, STOP, 26, 5, None, FromUsage),
    ("ollama_v1_chat_stream_error_midway.sse", OpenAi, CUT, None, 0, 2, None, Chunks),
    ("ollama_v1_completions_stream_usage.sse", OpenAi, OK, LENGTH, 9, 2, None, FromUsage),
    ("vllm_chat.json", OpenAi, OK, STOP, 48, 6, Some(32), FromUsage),
    ("vllm_chat_stream_nousage.sse", OpenAi, OK, LENGTH, 0, 5, None, Chunks),
    ("vllm_chat_stream_usage.sse", OpenAi, OK, STOP, 48, 6, None, FromUsage),
    ("vllm_chat_stream_usage_cached.sse", OpenAi, OK, STOP, 48, 6, Some(32), FromUsage),
    ("vllm_chat_stream_continuous_usage.sse", OpenAi, OK, STOP, 48, 6, None, FromUsage),
    ("vllm_chat_stream_metrics.sse", OpenAi, OK, STOP, 12, 2, None, FromUsage),
    ("vllm_chat_stream_error_midway.sse", OpenAi, SAID, None, 0, 1, None, Chunks),
    ("vllm_chat_stream_keepalive.sse", OpenAi, OK, STOP, 0, 1, None, Chunks),
    ("vllm_completions_stream_usage.sse", OpenAi, OK, LENGTH, 5, 2, None, FromUsage),
    ("vllm-0.32.0_chat.json", OpenAi, OK, LENGTH, 68, 8, Some(0), FromUsage),
    ("vllm-0.32.0_completions.json", OpenAi, OK, LENGTH, 11, 4, Some(0), FromUsage),
    ("vllm-0.32.0_chat_stream.sse", OpenAi, OK, LENGTH, 0, 1, None, Chunks),
    ("vllm-0.32.0_chat_stream_cache_hit.sse", OpenAi, OK, LENGTH, 290, 5, Some(256), FromUsage),
    ("vllm-0.32.0_chat_stream_continuous_usage.sse", OpenAi, OK, LENGTH, 68, 8, Some(0), FromUsage),
    ("vllm-0.32.0_chat_stream_forced_usage.sse", OpenAi, OK, LENGTH, 22, 3, None, FromUsage),
    ("vllm-0.32.0_completions_stream_usage.sse", OpenAi, OK, LENGTH, 11, 4, Some(0), FromUsage),
    ("vllm-0.32.0_overload_in_stream_200.sse", OpenAi, SAID, None, 0, 0, None, NoTokens),
    ("tgi_generate.json", Tgi, OK, STOP, 14, 5, None, FromUsage),
    ("tgi_generate_nodetails.json", Tgi, OK, None, 14, 5, None, FromUsage),
    ("tgi_generate_stream.sse", Tgi, OK, STOP, 14, 5, None, FromUsage),
    ("tgi_generate_stream_nodetails.sse", Tgi, OK, None, 0, 5, None, Chunks),
    ("tgi_generate_stream_keepalive.sse", Tgi, OK, STOP, 14, 5, None, FromUsage),
    ("tgi_generate_stream_nospace_v20.sse", Tgi, OK, STOP, 14, 5, None, FromUsage),
    ("tgi_generate_stream_error_overloaded.sse", Tgi, SAID, None, 0, 0, None, NoTokens),
    ("tgi_generate_stream_error_midway.sse", Tgi, SAID, None, 0, 2, None, Chunks),
    ("tgi_generate_stream_incomplete.sse", Tgi, SAID, None, 0, 2, None, Chunks),
    ("tgi_chat.json", OpenAi, OK, STOP, 14, 5, None, FromUsage),
    ("tgi_chat_stream_usage.sse", OpenAi, OK, STOP, 14, 5, None, FromUsage),
    ("tgi_chat_stream_nousage.sse", OpenAi, OK, STOP, 0, 4, None, Chunks),
    ("tgi_chat_stream_error.sse", OpenAi, SAID, None, 0, 0, None, NoTokens),
    ("tgi_completions_stream.sse", OpenAi, OK, LENGTH, 6, 2, None, FromUsage),
    ("trtllm_chat.json", OpenAi, OK, STOP, 64, 4, Some(32), FromUsage),
    ("trtllm_chat_stream_usage.sse", OpenAi, OK, STOP, 64, 4, Some(32), FromUsage),
    ("trtllm_chat_stream_nousage.sse", OpenAi, OK, STOP, 0, 4, None, Chunks),
    ("triton_generate.json", Triton, OK, None, 0, 0, None, Unknown),
    ("triton_generate_stream.sse", Triton, OK, None, 0, 4, None, Chunks),
    ("triton_generate_stream_min.sse", Triton, OK, None, 0, 2, None, Chunks),
    ("triton_generate_stream_error_midway.sse", Triton, SAID, None, 0, 1, None, Chunks),
    ("llamacpp-0c1e570_chat.json", OpenAi, OK, LENGTH, 51, 6, Some(0), FromUsage),
    ("llamacpp-0c1e570_chat_cache_hit.json", OpenAi, OK, LENGTH, 51, 6, Some(50), FromUsage),
    ("llamacpp-0c1e570_chat_stream.sse", OpenAi, OK, LENGTH, 51, 6, Some(50), FromUsage),
    ("llamacpp-0c1e570_chat_stream_usage.sse", OpenAi, OK, LENGTH, 51, 6, Some(50), FromUsage),
    ("llamacpp-0c1e570_completions_stream_usage.sse", OpenAi, OK, LENGTH, 13, 3, Some(2), FromUsage),
    ("llamacpp-0c1e570_completion_native_stream.sse", Llama, OK, LENGTH, 13, 3, Some(12), FromUsage),
];

/// Bodies that came with an error status: the status decides, nothing is read.
const ERROR_STATUS: &[&str] = &[
    "ollama_error_busy_503.json",
    "ollama_v1_error_busy_503.json",
    "vllm_error_model_not_found_404_legacy.json",
    "vllm_error_unauthorized_401.json",
    "tgi_error_generation_424.json",
    "trtllm_error_400.json",
    "triton_error_unknown_model.json",
    "vllm_error_engine_dead_500.json",
];

fn load(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../testkit/exchanges")
        .join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn settings(file: &str, dialect: Dialect, drop_usage_event: bool) -> MeterSettings {
    let content_type = match file.rsplit_once('.').unwrap().1 {
        "sse" => "text/event-stream; charset=utf-8",
        "ndjson" => "application/x-ndjson",
        _ => "application/json",
    };
    // The numbers that TGI puts into the headers of its non-stream answers.
    let header_usage = file.starts_with("tgi_generate") && content_type == "application/json";
    MeterSettings {
        dialect,
        label: Label::of(200, Some(content_type), None),
        hash_key: KEY,
        drop_usage_event,
        header_usage: header_usage.then_some(Usage {
            input: 14,
            output: 5,
            cached: None,
        }),
        answers: Some(1),
    }
}

/// What a client saw: bytes before the hold, all bytes, and what was measured.
struct Run {
    before_hold: Option<Vec<u8>>,
    seen: Vec<u8>,
    measured: Measured,
    /// Whether the answer went on after its end, so that the rest was kept back.
    goes_on: bool,
}

fn run<'c>(settings: MeterSettings, chunks: impl Iterator<Item = &'c [u8]>) -> Run {
    let mut meter = Meter::new(settings);
    let mut seen = Vec::new();
    let mut before_hold = None;
    // One instant for all chunks, so that the gaps do not depend on the chunking.
    for chunk in chunks {
        let release = meter.feed(Bytes::copy_from_slice(chunk), 1000);
        seen.extend_from_slice(&release.pass);
        seen.extend_from_slice(&release.then);
        if let Some(held) = release.hold {
            assert!(before_hold.is_none(), "held twice");
            assert!(!held.is_empty());
            before_hold = Some(seen.clone());
            seen.extend_from_slice(&held);
        }
    }
    let goes_on = meter.tail().is_some_and(|tail| tail.is_over());
    let (measured, rest) = meter.finish(Ending::Complete);
    seen.extend_from_slice(&rest);
    Run {
        before_hold,
        seen,
        measured,
        goes_on,
    }
}

fn whole(file: &str, dialect: Dialect) -> Run {
    run(
        settings(file, dialect, false),
        std::iter::once(load(file).as_slice()),
    )
}

#[test]
fn every_exchange_is_measured_right() {
    for &(file, dialect, outcome, finish, input, output, cached, source) in ROWS {
        let measured = whole(file, dialect).measured;
        let expected = match outcome {
            Ok(()) => (Status::Ok, None),
            Err(failure) => (Status::Error, Some(failure)),
        };
        assert_eq!((measured.status, measured.failure), expected, "{file}");
        assert_eq!(measured.finish, finish, "{file}");
        assert_eq!(measured.tokens_input, input, "{file}: prompt tokens");
        assert_eq!(measured.tokens_output, output, "{file}: output tokens");
        assert_eq!(measured.tokens_cached, cached, "{file}: cached tokens");
        assert_eq!(measured.tokens_source, source, "{file}: source");
    }
}

#[test]
fn an_error_status_is_passed_and_not_read() {
    for file in ERROR_STATUS {
        let mut settings = settings(file, OpenAi, false);
        settings.label = Label::of(503, Some("application/json"), None);
        let body = load(file);
        let run = run(settings, body.chunks(7));
        assert_eq!(run.seen, body);
        assert_eq!(run.measured.tokens_source, NoTokens);
    }
}

#[test]
fn a_stream_asked_for_usage_behind_the_clients_back_loses_that_event_alone() {
    for (asked, not_asked) in [
        ("vllm_chat_stream_usage.sse", None),
        (
            "ollama_v1_chat_stream_usage.sse",
            Some("ollama_v1_chat_stream_nousage.sse"),
        ),
        (
            "tgi_chat_stream_usage.sse",
            Some("tgi_chat_stream_nousage.sse"),
        ),
        ("ollama_v1_completions_stream_usage.sse", None),
    ] {
        let body = load(asked);
        let text = String::from_utf8(body.clone()).unwrap();
        let expected: String = text
            .split_inclusive("\n\n")
            .filter(|event| !event.contains("\"choices\":[]"))
            .collect();
        assert_ne!(expected, text, "{asked} has a usage event");
        if let Some(not_asked) = not_asked {
            assert_eq!(expected.as_bytes(), load(not_asked));
        }
        for step in [1, 2, 3, 7, 64, 1000, body.len()] {
            let run = run(settings(asked, OpenAi, true), body.chunks(step));
            assert_eq!(
                String::from_utf8(run.seen).unwrap(),
                expected,
                "{asked} by {step}"
            );
            assert_eq!(run.measured.tokens_source, FromUsage);
            let before = String::from_utf8(run.before_hold.unwrap()).unwrap();
            assert!(!before.contains("[DONE]"), "{asked} by {step}");
        }
    }
}

#[test]
fn crlf_streams_lose_the_event_and_its_blank_line() {
    let text = String::from_utf8(load("vllm_chat_stream_usage.sse")).unwrap();
    let body = text.replace('\n', "\r\n");
    for step in [1, 5, body.len()] {
        let run = run(
            settings("x.sse", OpenAi, true),
            body.as_bytes().chunks(step),
        );
        let seen = String::from_utf8(run.seen).unwrap();
        assert!(!seen.contains("\"choices\":[]"));
        assert_eq!(
            seen.matches("\r\n\r\n").count(),
            text.matches("\n\n").count() - 1
        );
        assert_eq!(run.measured.tokens_output, 6);
    }
}

#[test]
fn the_terminal_mark_is_held_whatever_the_chunking() {
    for &(file, dialect, outcome, ..) in ROWS {
        let body = load(file);
        let mark: &[u8] = match (dialect, file.rsplit_once('.').unwrap().1) {
            (OpenAi, "sse") => b"[DONE]",
            (Ollama, "ndjson") => b"\"done\":true",
            (Tgi, "sse") => b"\"generated_text\":\" The answer is 42\",\"details\":",
            (Llama, "sse") => b"\"tokens_predicted\":3",
            _ => continue,
        };
        if outcome == CUT || !body.windows(mark.len()).any(|window| window == mark) {
            continue;
        }
        for step in [1, 2, 5, 33, body.len()] {
            let run = run(settings(file, dialect, false), body.chunks(step));
            let before = run
                .before_hold
                .unwrap_or_else(|| panic!("{file} by {step}: not held"));
            assert!(before.len() < body.len());
            let is_readable = before
                .split(|byte| *byte == b'\n')
                .filter_map(|line| line.strip_prefix(b"data:").or(Some(line)))
                .any(|line| {
                    line.trim_ascii() == b"[DONE]"
                        || (line.windows(mark.len()).any(|window| window == mark)
                            && serde_json::from_slice::<serde_json::Value>(line).is_ok())
                });
            assert!(
                !is_readable,
                "{file} by {step}: the mark was out before the hold"
            );
        }
    }
}

#[test]
fn an_answer_cut_short_counts_what_came() {
    let body = load("vllm_chat_stream_continuous_usage.sse");
    let half = &body[..body.len() / 2];
    for (ending, status, failure) in [
        (Ending::ClientGone, Status::Cancelled, None),
        (Ending::Broken, Status::Error, Some(Failure::Incomplete)),
        (Ending::Stalled, Status::Error, Some(Failure::Stalled)),
    ] {
        let mut meter = Meter::new(settings("x.sse", OpenAi, false));
        let _ = meter.feed(Bytes::copy_from_slice(half), 5);
        let (measured, _) = meter.finish(ending);
        assert_eq!((measured.status, measured.failure), (status, failure));
        assert_eq!(measured.tokens_source, PartialUsage);
        assert_eq!((measured.tokens_input, measured.tokens_output), (48, 2));
        assert_eq!(measured.ttft_us, Some(5));
    }
}

#[test]
fn times_are_those_of_events_with_content() {
    let mut meter = Meter::new(settings("x.sse", OpenAi, false));
    for (at_ms, payload) in [
        (
            5,
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        ),
        (20, r#"{"choices":[{"delta":{"content":"a"}}]}"#),
        (30, r#"{"choices":[{"delta":{"reasoning_content":"b"}}]}"#),
        (
            90,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
        ),
        (
            91,
            r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        ),
        (92, "[DONE]"),
    ] {
        let event = format!("data: {payload}\n\n");
        let _ = meter.feed(Bytes::from(event), at_ms * 1000);
    }
    let (measured, _) = meter.finish(Ending::Complete);
    assert_eq!(measured.ttft_us, Some(20_000));
    assert_eq!(measured.gap_p95_us, Some(60_000));
    assert_eq!(measured.finish, Some(Finish::ToolCalls));
}

#[test]
fn checkpoints_stand_at_every_hundredth_token() {
    let mut meter = Meter::new(settings("x.ndjson", Ollama, false));
    for _ in 0..250 {
        let line = &b"{\"response\":\"x\",\"done\":false}\n"[..];
        let _ = meter.feed(Bytes::from_static(line), 1);
    }
    let last =
        &b"{\"response\":\"\",\"done\":true,\"prompt_eval_count\":3,\"eval_count\":250}\n"[..];
    assert!(meter.feed(Bytes::from_static(last), 2).hold.is_some());
    let (measured, _) = meter.finish(Ending::Complete);
    assert_eq!(measured.checkpoints, [100, 200]);
}

#[test]
fn the_output_hash_covers_the_text_and_depends_on_the_key() {
    let expected = blake3::keyed_hash(&KEY, b"The answer is 42.").to_hex();
    for (file, dialect) in [
        ("ollama_chat_stream.ndjson", Ollama),
        ("ollama_chat.json", Ollama),
        ("vllm_chat_stream_usage.sse", OpenAi),
        ("vllm_chat.json", OpenAi),
    ] {
        let hash = whole(file, dialect).measured.output_hash.unwrap();
        assert_eq!(hash, format!("blake3:{expected}"), "{file}");
    }
    let mut other = settings("ollama_chat.json", Ollama, false);
    other.hash_key = [8; 32];
    let body = load("ollama_chat.json");
    let hash = run(other, std::iter::once(body.as_slice()))
        .measured
        .output_hash;
    assert_ne!(hash, Some(format!("blake3:{expected}")));
}

#[test]
fn triton_models_that_repeat_the_text_so_far_hash_alike() {
    let deltas = b"data: {\"text_output\":\"The\"}\n\ndata: {\"text_output\":\" answer\"}\n\n";
    let totals = b"data: {\"text_output\":\"The\"}\n\ndata: {\"text_output\":\"The answer\"}\n\n";
    let hash = |body: &[u8]| {
        let run = run(settings("x.sse", Triton, false), std::iter::once(body));
        run.measured.output_hash.unwrap()
    };
    assert_eq!(hash(deltas), hash(totals));
}

#[test]
fn triton_models_that_tell_counts_tell_them_of_each_event_alone() {
    let stream = b"data: {\"text_output\":\"The\",\"num_input_tokens\":9,\"num_output_tokens\":1}\n\ndata: {\"text_output\":\" answer\",\"num_input_tokens\":9,\"num_output_tokens\":[2]}\n\n";
    let streamed = run(
        settings("x.sse", Triton, false),
        std::iter::once(&stream[..]),
    );
    let body = b"{\"text_output\":\"The answer\",\"num_input_tokens\":9,\"num_output_tokens\":3}";
    let whole = run(
        settings("x.json", Triton, false),
        std::iter::once(&body[..]),
    );
    for run in [streamed, whole] {
        let measured = run.measured;
        assert_eq!((measured.tokens_input, measured.tokens_output), (9, 3));
        assert_eq!(measured.tokens_source, FromUsage);
    }
}

/// Feeds `head`, then a mebibyte of `filler` so many times; says how many bytes came out before the end.
fn feed_endless(meter: &mut Meter, head: &'static str, filler: &str, mebibytes: usize) -> usize {
    let chunk = Bytes::from(filler.repeat((1 << 20) / filler.len()));
    let mut passed = 0;
    let chunks = std::iter::repeat_n(chunk, mebibytes);
    for chunk in std::iter::once(Bytes::from_static(head.as_bytes())).chain(chunks) {
        let release = meter.feed(chunk, 1);
        passed += release.pass.len() + release.then.len();
        assert!(release.hold.is_none());
    }
    passed
}

/// Highest resident memory of this process so far, bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: usize = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

#[test]
fn an_endless_line_passes_and_nobody_knows_what_it_is() {
    for drops in [false, true] {
        let mut meter = Meter::new(settings("x.sse", OpenAi, drops));
        let passed = feed_endless(&mut meter, "", "a", 16);
        let (measured, rest) = meter.finish(Ending::Complete);
        assert_eq!(passed + rest.len(), 16 << 20);
        assert_eq!(measured.tokens_source, Unknown);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_line_of_200_mebibytes_is_read_to_its_end_in_little_memory() {
    // The memory is the whole process's, so no other test may run in it.
    const ALONE: &str = "DGON_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "a_line_of_200_mebibytes_is_read_to_its_end_in_little_memory";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let ended = alone.args(["--exact", name]).env(ALONE, "1").output();
        let ended = ended.unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    const HEAD: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"a"}}],"pad":""#;
    const END: &str = r#"","usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
    for (drops, mebibytes) in [(false, 200), (true, 16)] {
        let mut meter = Meter::new(settings("x.sse", OpenAi, drops));
        let before = peak_memory();
        let passed = feed_endless(&mut meter, HEAD, "usage", mebibytes);
        let last = meter.feed(Bytes::from(format!("{END}\n\ndata: [DONE]\n\n")), 2);
        let grown = peak_memory() - before;
        assert!(grown < 8 << 20, "{grown} bytes for one line");
        assert!(last.hold.is_some());
        let (measured, _) = meter.finish(Ending::Complete);
        assert_eq!((measured.tokens_input, measured.tokens_output), (7, 2));
        assert_eq!(measured.tokens_source, FromUsage);
        assert_eq!(passed, HEAD.len() + mebibytes * ((1 << 20) / 5 * 5));
    }
}

#[test]
fn broken_utf8_and_lone_surrogates_are_content() {
    let body = b"data: {\"choices\":[{\"delta\":{\"content\":\"\\ud83d\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\ndata: [DONE]\n\n";
    let run = run(settings("x.sse", OpenAi, false), body.chunks(9));
    assert_eq!(run.measured.tokens_output, 2);
    assert_eq!(run.measured.status, Status::Ok);
}
