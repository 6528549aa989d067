//! What holds for any answer in any chunks.

use super::*;
use proptest::prelude::*;

/// What answers are made of, and what breaks them.
const FRAGMENTS: &[&str] = &[
    "data: ",
    "data:",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\\u00e9\"},\"finish_reason\":null}]}\n\n",
    "data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n",
    "data: [DONE]\n\n",
    "{\"response\":\"x\",\"done\":false}\n",
    "{\"response\":\"\",\"done\":true,\"eval_count\":3}\n",
    "{\"index\":0,\"content\":\"x\",\"stop\":true,\"tokens_predicted\":3}",
    "{\"text_output\":\"ab\"}",
    "{\"token\":{\"text\":\" a\",\"special\":false},\"generated_text\":null}",
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}",
    "\"usage\":{\"prompt_tokens\":9}",
    "\"choices\":[]",
    "event: error\n",
    "event: usage\r",
    "error: {\"code\":1}\n",
    "id: 1\n",
    ": comment\n",
    "text\n",
    "[DONE]",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "\\",
    "\\ud83d",
    "1e3",
    "null",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    " ",
    "\u{feff}",
];

proptest! {
    #[test]
    fn any_chunking_gives_the_same_result(row in 0..ROWS.len(), cuts in prop::collection::vec(1usize..400, 1..40), drops: bool) {
        let (file, dialect, ..) = ROWS[row];
        let body = load(file);
        let once = run(settings(file, dialect, drops), std::iter::once(body.as_slice()));
        let mut rest = body.as_slice();
        let mut sizes = cuts.iter().cycle();
        let chunks = std::iter::from_fn(|| {
            let size = (*sizes.next()?).min(rest.len());
            let (chunk, tail) = rest.split_at(size);
            rest = tail;
            (!chunk.is_empty()).then_some(chunk)
        });
        let cut = run(settings(file, dialect, drops), chunks);
        prop_assert_eq!(&cut.measured, &once.measured);
        prop_assert_eq!(&cut.seen, &once.seen);
        if !drops || dialect != OpenAi {
            prop_assert_eq!(cut.seen, body);
        }
    }

    #[test]
    fn no_bytes_panic_and_none_is_lost(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        dialect in prop::sample::select(vec![OpenAi, Dialect::Responses, Dialect::Messages, Ollama, Tgi, Llama, Triton, Dialect::Other]),
        label in prop::sample::select(vec![Label::Readable, Label::EventStream, Label::Encoded, Label::NoAnswer]),
        drops: bool,
    ) {
        let mut settings = settings("x.sse", dialect, drops);
        settings.label = label;
        let run = run(settings, chunks.iter().map(Vec::as_slice));
        prop_assert_eq!(run.seen, chunks.concat());
    }

    #[test]
    fn fragments_of_answers_read_alike_in_any_chunks(
        fragments in prop::collection::vec(prop::sample::select(FRAGMENTS), 0..24),
        cuts in prop::collection::vec(1usize..9, 1..12),
        label in prop::sample::select(vec![Label::Readable, Label::EventStream]),
        drops: bool,
    ) {
        let body = fragments.concat().into_bytes();
        for dialect in [OpenAi, Dialect::Responses, Dialect::Messages, Ollama, Tgi, Llama, Triton, Dialect::Other] {
            let mut settings = settings("x.sse", dialect, drops);
            settings.label = label;
            let once = run(settings.clone(), std::iter::once(body.as_slice()));
            let mut rest = body.as_slice();
            let mut sizes = cuts.iter().cycle();
            let chunks = std::iter::from_fn(|| {
                let size = (*sizes.next()?).min(rest.len());
                let (chunk, tail) = rest.split_at(size);
                rest = tail;
                (!chunk.is_empty()).then_some(chunk)
            });
            let cut = run(settings, chunks);
            prop_assert_eq!(&cut.measured, &once.measured);
            prop_assert_eq!(&cut.seen, &once.seen);
            if !drops {
                prop_assert_eq!(cut.goes_on, once.goes_on);
                // All of it, or up to where it goes on after its end.
                prop_assert!(body.starts_with(&cut.seen));
                prop_assert!(cut.goes_on || cut.seen == body);
            }
        }
    }

    #[test]
    fn json_like_noise_does_not_panic(text in r#"(data: ?)?[\[{]("(choices|usage|message|done|token|response|type)":[0-9a-z\[\]{}",:]{0,20},?){0,4}[\]}]?\n{0,2}"#, drops: bool) {
        for dialect in [OpenAi, Dialect::Responses, Dialect::Messages, Ollama, Tgi, Llama, Triton, Dialect::Other] {
            for label in [Label::Readable, Label::EventStream] {
                let mut settings = settings("x.sse", dialect, drops);
                settings.label = label;
                let _ = run(settings, text.as_bytes().chunks(3));
            }
        }
    }
}
