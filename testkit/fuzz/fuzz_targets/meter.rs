//! Answers of runtimes: no bytes in no chunks panic, and every byte reaches the client once and in order.
#![no_main]

use bytes::Bytes;
use dgon_agent_core::meter::{Dialect, Ending, Label, Meter, MeterSettings};
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

fuzz_target!(|input: &[u8]| {
    let Some((&[choice, chunk], body)) = input.split_first_chunk::<2>() else { return };
    let drop_usage_event = choice & 0x80 != 0;
    let mut meter = Meter::new(MeterSettings {
        dialect: DIALECTS[usize::from(choice) % DIALECTS.len()],
        label: LABELS[usize::from(choice / 8) % LABELS.len()],
        hash_key: [7; 32],
        drop_usage_event,
        header_usage: None,
        answers: 1,
    });
    let mut out = Vec::new();
    let mut holds = 0;
    for (i, piece) in body.chunks(usize::from(chunk).max(1)).enumerate() {
        let release = meter.feed(Bytes::copy_from_slice(piece), i as u64);
        out.extend_from_slice(&release.pass);
        out.extend_from_slice(&release.then);
        if let Some(held) = release.hold {
            holds += 1;
            out.extend_from_slice(&held);
        }
    }
    let (measured, rest) = meter.finish(Ending::Complete);
    out.extend_from_slice(&rest);
    assert!(holds <= 1);
    if drop_usage_event {
        assert!(out.len() <= body.len());
    } else {
        assert_eq!(out, body);
    }
    let limit = i64::MAX as u64;
    assert!(measured.tokens_input <= limit && measured.tokens_output <= limit);
});
