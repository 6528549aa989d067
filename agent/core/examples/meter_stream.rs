//! What one event of a stream costs the meter: `meter_stream EVENTS` reads a chat stream of so many tokens, one event a
//! chunk, and prints nothing but the counts. Run it under `perf stat -e instructions:u` with two values of EVENTS: the
//! difference, divided by the difference of events, is the cost of one event without the start of the program.

use bytes::Bytes;
use dgon_agent_core::meter::{Dialect, Ending, Label, Meter, MeterSettings};

fn event(at: usize) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-0b9f6c1e\",\"object\":\"chat.completion.chunk\",\"created\":1736538502,\"model\":\"acme/tiny-chat\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" tok{}\"}},\"logprobs\":null,\"finish_reason\":null,\"token_ids\":null}}]}}\n\n",
        at % 100
    )
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    let drop_usage_event = arguments.next().is_some_and(|text| text == "drop");
    let events: Vec<Bytes> = (0..100).map(|at| Bytes::from(event(at))).collect();
    let mut meter = Meter::new(MeterSettings {
        dialect: Dialect::OpenAi,
        label: Label::of(200, Some("text/event-stream"), None),
        hash_key: [7; 32],
        drop_usage_event,
        header_usage: None,
        answers: Some(1),
    });
    let mut passed = 0;
    for at in 0..count {
        let release = meter.feed(events[at % events.len()].clone(), at as u64);
        passed += release.pass.len();
    }
    let (measured, _) = meter.finish(Ending::Complete);
    println!("{} tokens, {passed} bytes", measured.tokens_output);
}
