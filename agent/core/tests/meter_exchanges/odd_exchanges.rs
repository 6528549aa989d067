//! The odd exchanges of `testkit/exchanges/odd`, their answers, through the meter alone.

use super::odd::{OddEnding, OddExchange, load};
use bytes::Bytes;
use dgon_agent_core::meter::{
    Dialect, Ending, Finish, Label, Measured, Meter, MeterSettings, Usage,
};
use dgon_protocol::receipt::Status;
use std::path::Path;

/// Bodies up to here are also played byte by byte.
const SMALL_BYTES: usize = 64 * 1024;

fn exchanges() -> Vec<OddExchange> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testkit/exchanges/odd");
    load(&folder).unwrap()
}

fn dialect(target: &str) -> Dialect {
    match target.split('?').next().unwrap() {
        "/v1/responses" => Dialect::Responses,
        "/v1/messages" => Dialect::Messages,
        path if path.starts_with("/api/") => Dialect::Ollama,
        "/" | "/generate" | "/generate_stream" => Dialect::Tgi,
        "/completion" | "/infill" | "/embedding" => Dialect::Llama,
        path if path.starts_with("/v2/models/") => Dialect::Triton,
        "/v1/chat/completions" | "/v1/completions" | "/v1/embeddings" => Dialect::OpenAi,
        _ => Dialect::Other,
    }
}

fn settings(exchange: &OddExchange) -> MeterSettings {
    let dialect = dialect(&exchange.request.target);
    let number = |name| exchange.answer_header(name)?.parse().ok();
    let counted = number("x-prompt-tokens").zip(number("x-generated-tokens"));
    MeterSettings {
        dialect,
        label: Label::of(
            exchange.answer.status,
            exchange.answer_header("content-type"),
            exchange.answer_header("content-encoding"),
        ),
        hash_key: [7; 32],
        drop_usage_event: exchange.expect.dropped.is_some(),
        header_usage: counted.map(|(input, output)| Usage {
            input,
            output,
            cached: None,
        }),
        answers: Some(answers(exchange)),
    }
}

/// How many answers the request asks for.
fn answers(exchange: &OddExchange) -> u32 {
    let body = exchange.request.body().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let prompts = body["prompt"].as_array().map_or(1, Vec::len);
    let each = body["n"].as_u64().unwrap_or(1);
    u32::try_from(each).unwrap() * u32::try_from(prompts).unwrap()
}

/// Plays an answer in pieces; returns what was measured and what a client got.
fn play(exchange: &OddExchange, pieces: &[Bytes]) -> (Measured, Vec<u8>) {
    let mut meter = Meter::new(settings(exchange));
    let mut seen = Vec::new();
    for piece in pieces {
        let release = meter.feed(piece.clone(), 1000);
        for part in [Some(release.pass), Some(release.then), release.hold] {
            seen.extend_from_slice(&part.unwrap_or_default());
        }
    }
    let ending = match exchange.answer.ending {
        OddEnding::Complete => Ending::Complete,
        OddEnding::Broken => Ending::Broken,
    };
    let (measured, rest) = meter.finish(ending);
    seen.extend_from_slice(&rest);
    (measured, seen)
}

fn cut(body: &Bytes, sizes: impl IntoIterator<Item = usize>) -> Vec<Bytes> {
    let mut rest = body.clone();
    let mut pieces = Vec::new();
    for size in sizes {
        if rest.is_empty() {
            break;
        }
        pieces.push(rest.split_to(size.min(rest.len())));
    }
    pieces
}

/// Sizes that look random and are the same in every run.
fn uneven(mut seed: u64, largest: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from((seed >> 33) % largest + 1).ok()
    })
}

fn chunkings(exchange: &OddExchange, body: &Bytes) -> Vec<(String, Vec<Bytes>)> {
    let mut all = vec![("whole".to_owned(), vec![body.clone()])];
    if body.len() <= SMALL_BYTES {
        for step in [1, 2, 3, 7] {
            let sizes = std::iter::repeat(step);
            all.push((format!("by {step}"), cut(body, sizes)));
        }
        for seed in 1..6 {
            all.push((format!("uneven {seed}"), cut(body, uneven(seed, 90))));
        }
        let pieces = exchange.answer.chunks.iter();
        let as_written = pieces.map(|piece| Bytes::from(piece.bytes().unwrap()));
        all.push(("as written".to_owned(), as_written.collect()));
    } else {
        all.push(("uneven".to_owned(), cut(body, uneven(9, 100_000))));
    }
    all
}

fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Error => "error",
    }
}

/// What is not as expected, in words.
fn faults(exchange: &OddExchange, measured: &Measured) -> Vec<String> {
    let expect = &exchange.expect;
    let mut faults = Vec::new();
    let mut check = |what: &str, is: String, should: String| {
        if is != should {
            faults.push(format!("{what} is {is}, not {should}"));
        }
    };
    let status = match measured.status {
        Status::Ok => "ok",
        Status::Error => "error",
        Status::Cancelled => "cancelled",
    };
    // The status line decides over what the body says, outside of the meter.
    if (200..300).contains(&exchange.answer.status) {
        check("status", status.to_owned(), expect.status.clone());
        let failure = measured.failure.map(|failure| failure.as_str().to_owned());
        check(
            "error",
            format!("{failure:?}"),
            format!("{:?}", expect.error),
        );
    }
    check(
        "input",
        measured.tokens_input.to_string(),
        expect.tokens_input.to_string(),
    );
    check(
        "output",
        measured.tokens_output.to_string(),
        expect.tokens_output.to_string(),
    );
    check(
        "cached",
        format!("{:?}", measured.tokens_cached),
        format!("{:?}", expect.tokens_cached),
    );
    let source = measured.tokens_source.as_str();
    let expected = match expect.tokens_source.as_deref() {
        // That nobody pays is the route's matter; the meter knows no counts.
        Some("unpaid") => "unknown",
        other => other.unwrap_or("none"),
    };
    check("source", source.to_owned(), expected.to_owned());
    let finish = measured.finish.map(finish_name);
    check(
        "finish",
        format!("{finish:?}"),
        format!("{:?}", expect.finish.as_deref()),
    );
    let remote = expect.runtime.as_deref().unwrap_or_default();
    check(
        "remote",
        measured.is_remote.to_string(),
        remote.ends_with("-remote").to_string(),
    );
    faults
}

#[test]
fn every_odd_answer_is_measured_right_in_any_chunking() {
    let all = exchanges();
    assert!(all.len() >= MOST, "{} odd exchanges are left", all.len());
    let mut wrong = Vec::new();
    for exchange in &all {
        let body = Bytes::from(exchange.answer_body().unwrap());
        let released = exchange.released_body().unwrap();
        for (how, pieces) in chunkings(exchange, &body) {
            let (measured, seen) = play(exchange, &pieces);
            let mut faults = faults(exchange, &measured);
            if seen != released {
                faults.push(format!(
                    "{} bytes came out, not the {} expected",
                    seen.len(),
                    released.len()
                ));
            }
            if !faults.is_empty() {
                wrong.push(format!("{} {how}: {}", exchange.name, faults.join("; ")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Exchanges that must at least be there, so that none gets lost.
const MOST: usize = 80;
