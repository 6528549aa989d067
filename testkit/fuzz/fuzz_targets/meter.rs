//! Answers of runtimes: no bytes in no chunks panic, every byte reaches the client once and in order, and what is
//! measured does not depend on the chunks.
#![no_main]

use bytes::Bytes;
use dgon_agent_core::meter::{Dialect, Ending, Label, Measured, Meter, MeterSettings};
use libfuzzer_sys::fuzz_target;

const DIALECTS: [Dialect; 8] = [
    Dialect::OpenAi,
    Dialect::Responses,
    Dialect::Messages,
    Dialect::Ollama,
    Dialect::Tgi,
    Dialect::Llama,
    Dialect::Triton,
    Dialect::Other,
];
const LABELS: [Label; 4] = [Label::Readable, Label::EventStream, Label::Encoded, Label::NoAnswer];

/// What was measured, what came out, and whether the answer went on after its end.
fn play(choice: u8, step: usize, body: &[u8]) -> (Measured, Vec<u8>, bool) {
    let mut meter = Meter::new(MeterSettings {
        dialect: DIALECTS[usize::from(choice) % DIALECTS.len()],
        label: LABELS[usize::from(choice / 8) % LABELS.len()],
        hash_key: [7; 32],
        drop_usage_event: choice & 0x80 != 0,
        header_usage: None,
        answers: u32::from(choice / 32 % 4).checked_sub(1),
    });
    let mut out = Vec::new();
    let mut holds = 0;
    for piece in body.chunks(step) {
        let release = meter.feed(Bytes::copy_from_slice(piece), 1);
        out.extend_from_slice(&release.pass);
        out.extend_from_slice(&release.then);
        if let Some(held) = release.hold {
            holds += 1;
            out.extend_from_slice(&held);
        }
    }
    let goes_on = meter.tail().is_some_and(|tail| tail.is_over());
    let (measured, rest) = meter.finish(Ending::Complete);
    out.extend_from_slice(&rest);
    assert!(holds <= 1);
    (measured, out, goes_on)
}

fuzz_target!(|input: &[u8]| {
    let Some((&[choice, step], body)) = input.split_first_chunk::<2>() else { return };
    let (measured, out, goes_on) = play(choice, usize::from(step).max(1), body);
    if choice & 0x80 != 0 {
        assert!(out.len() <= body.len());
    } else {
        // Only what goes on after the end of an answer is held back.
        assert!(body.starts_with(&out));
        assert!(goes_on || out == body);
    }
    let limit = i64::MAX as u64;
    assert!(measured.tokens_input <= limit && measured.tokens_output <= limit);
    let (whole, out_whole, _) = play(choice, body.len().max(1), body);
    assert_eq!((measured, out), (whole, out_whole));
});
