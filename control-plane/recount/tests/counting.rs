//! Counts of requests and answers against those of Python's `tokenizers`, and of what cannot be counted.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use dgon_control_plane_recount::{AnswerText, Counted, Counter, ModelRef, Route, limits, read};
use dgon_protocol::countersignature::CountLevel;
use dgon_protocol::receipt::Sha256Hash;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::LazyLock;

static COUNTER: LazyLock<Counter> = LazyLock::new(|| read(data()).unwrap());

fn data() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"))
}

fn rows(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(data().join(file)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn model(id: &str) -> ModelRef<'_> {
    ModelRef { digest: None, id }
}

fn request(id: &str, route: Route, body: &Value, now_s: i64) -> Counted {
    COUNTER.count_request(model(id), route, body.to_string().as_bytes(), now_s)
}

fn chat(id: &str, content: &str) -> Counted {
    let body = json!({"model": id, "messages": [{"role": "user", "content": content}]});
    request(id, Route::Chat, &body, 0)
}

fn answer(id: &str, text: &str) -> Counted {
    COUNTER.count_answer(model(id), &[AnswerText::of(text)])
}

#[test]
fn conversations_have_the_tokens_that_python_counts() {
    let rows = rows("cases.jsonl");
    assert_eq!(rows.len(), 200);
    for row in rows {
        let id = row["tokenizer"].as_str().unwrap();
        let body = json!({"model": id, "messages": row["messages"], "max_tokens": 9});
        let counted = request(id, Route::Chat, &body, row["now_s"].as_i64().unwrap());
        match row["input"].as_u64() {
            Some(tokens) => {
                assert_eq!(
                    (counted.tokens, counted.level),
                    (tokens, CountLevel::Exact),
                    "{row}"
                );
                assert_eq!(counted.allowance, 2);
            }
            // The template refuses it, so no runtime with this template answers it.
            None => assert_eq!(counted.level, CountLevel::Bounded, "{row}"),
        }
        let counted = answer(id, row["answer"].as_str().unwrap());
        assert_eq!(
            (Some(counted.tokens), counted.level),
            (row["output"].as_u64(), CountLevel::Exact),
            "{row}"
        );
    }
}

#[test]
fn prompts_have_the_tokens_that_python_counts() {
    for row in rows("texts.jsonl") {
        let id = row["tokenizer"].as_str().unwrap();
        let body = json!({"model": id, "prompt": row["text"]});
        let counted = request(id, Route::Completions, &body, 0);
        let level = if id == "unigram" {
            CountLevel::Bounded
        } else {
            CountLevel::Exact
        };
        assert_eq!(
            (Some(counted.tokens), counted.level),
            (row["tokens"].as_u64(), level),
            "{row}"
        );
        let body = json!({"model": id, "input": row["text"]});
        assert_eq!(request(id, Route::Embeddings, &body, 0), counted);
    }
}

/// Long runs of one thing, for which patterns backtrack and words do not end.
#[test]
fn long_runs_have_the_tokens_that_python_counts() {
    for row in rows("runs.jsonl") {
        let id = row["tokenizer"].as_str().unwrap();
        let times = usize::try_from(row["times"].as_u64().unwrap()).unwrap();
        let text = row["unit"].as_str().unwrap().repeat(times);
        let counted = request(id, Route::Completions, &json!({"prompt": text}), 0);
        assert_eq!(Some(counted.tokens), row["tokens"].as_u64(), "{row}");
    }
}

/// What a template adds is within what a bounded count allows: a node that counts right is not billed less.
#[test]
fn a_bounded_count_allows_what_templates_add() {
    for row in rows("cases.jsonl") {
        let Some(exact) = row["input"].as_u64() else {
            continue;
        };
        let id = row["tokenizer"].as_str().unwrap();
        let body = json!({"messages": row["messages"], "reasoning_effort": "low"});
        let counted = request(id, Route::Chat, &body, 0);
        assert_eq!(counted.level, CountLevel::Bounded);
        let turns = row["messages"].as_array().unwrap().len() as u64;
        assert_eq!(counted.allowance, 16 * turns + 64);
        assert!(counted.most_billed() >= exact, "{row}: {counted:?}");
        // And not much more than there is.
        assert!(
            counted.tokens <= exact + exact / 2 + 8,
            "{row}: {counted:?}"
        );
    }
}

#[test]
fn the_index_says_who_counts() {
    let digest = |last: &str| Sha256Hash::parse(&format!("sha256:c0a7{}{last}", "0".repeat(58)));
    let level = |digest: Option<Sha256Hash>, id: &str| COUNTER.level(ModelRef { digest, id });
    assert_eq!(level(None, "chatml"), CountLevel::Exact);
    assert_eq!(level(digest("aa"), "whatever"), CountLevel::Exact);
    // Another build than the one that the operator named.
    assert_eq!(level(digest("ab"), "chatml"), CountLevel::Bounded);
    assert_eq!(level(digest("ab"), "llama3"), CountLevel::Exact);
    assert_eq!(level(None, "unigram"), CountLevel::Bounded);
    assert_eq!(level(digest("ab"), "unknown"), CountLevel::None);
    assert_eq!(COUNTER.tokenizers(), 6);
    assert_eq!(
        Counter::without_tokenizers().level(model("chatml")),
        CountLevel::None
    );
}

#[test]
fn without_a_tokenizer_there_is_a_ceiling_by_bytes() {
    let counted = chat("unknown", "hi");
    let body =
        json!({"model": "unknown", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    assert_eq!(
        counted,
        Counted::none(body.len() as u64 + 64 + limits::TOOLS_TOKENS)
    );
    assert_eq!(counted.for_countersignature(), None);
    let choices = [
        AnswerText::of("four"),
        AnswerText {
            reasoning: "six six",
            calls: &[("f", "{}")],
            ..AnswerText::default()
        },
    ];
    let counted = COUNTER.count_answer(model("unknown"), &choices);
    assert_eq!(counted, Counted::none(4 + 7 + 3 + 2 * 16 + 2));
}

/// No count of any text has more tokens than the ceiling without a tokenizer.
#[test]
fn ceilings_are_above_counts() {
    for row in rows("cases.jsonl") {
        let id = row["tokenizer"].as_str().unwrap();
        let body = json!({"messages": row["messages"]});
        let known = request(id, Route::Chat, &body, 0);
        let unknown = request("unknown", Route::Chat, &body, 0);
        assert!(known.tokens <= unknown.tokens, "{row}");
        let text = row["answer"].as_str().unwrap();
        assert!(
            answer(id, text).tokens <= answer("unknown", text).tokens,
            "{row}"
        );
    }
}

#[test]
fn media_are_never_counted_exactly() {
    let part = json!({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}});
    let body = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, part]}]});
    for id in ["chatml", "unigram", "unknown"] {
        let counted = request(id, Route::Chat, &body, 0);
        let ceiling =
            body.to_string().len() as u64 + 64 + limits::TOOLS_TOKENS + limits::MEDIUM_TOKENS;
        assert_eq!(counted, Counted::none(ceiling), "{id}");
    }
}

#[test]
fn tools_and_reasoning_are_bounded() {
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}});
    let body = json!({"messages": [{"role": "user", "content": "Rain?"}], "tools": [tool]});
    let counted = request("chatml", Route::Chat, &body, 0);
    assert_eq!(
        (counted.level, counted.allowance),
        (CountLevel::Bounded, 2 * 16 + 64)
    );
    assert!(counted.tokens > limits::TOOLS_TOKENS);
    let text = AnswerText::of("It rains.");
    let plain = COUNTER.count_answer(model("chatml"), &[text]);
    assert_eq!((plain.level, plain.allowance), (CountLevel::Exact, 3));
    let thought = AnswerText {
        reasoning: "Rain",
        ..text
    };
    let counted = COUNTER.count_answer(model("chatml"), &[thought]);
    assert_eq!(
        (counted.level, counted.allowance),
        (CountLevel::Bounded, 3 + 16)
    );
    let call = AnswerText {
        calls: &[("weather", "{}")],
        ..AnswerText::default()
    };
    let counted = COUNTER.count_answer(model("chatml"), &[call, call]);
    assert_eq!(
        (counted.level, counted.allowance),
        (CountLevel::Bounded, 4 + 2 + 32)
    );
}

/// A mark of the template is one token in a prompt, as in every runtime, and letters in an answer, as it was written.
#[test]
fn marks_in_prompts_are_tokens_and_in_answers_text() {
    let many = "<|im_end|>".repeat(100);
    let empty = chat("chatml", "").tokens;
    assert_eq!(chat("chatml", &many).tokens, empty + 100);
    assert!(answer("chatml", &many).tokens >= 400);
    // What is not special is one token in both.
    assert_eq!(answer("chatml", "<think></think>").tokens, 2);
}

#[test]
fn what_is_no_request_has_a_ceiling() {
    let deep = format!(
        "{{\"messages\":{}{}}}",
        "[".repeat(500_000),
        "]".repeat(500_000)
    );
    let bodies: [&[u8]; 6] = [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{\"messages\":{}}",
        deep.as_bytes(),
    ];
    for body in bodies {
        for route in [
            Route::Chat,
            Route::Completions,
            Route::Embeddings,
            Route::Other,
        ] {
            let counted = COUNTER.count_request(model("chatml"), route, body, 0);
            assert_eq!(counted.level, CountLevel::None);
            assert!(counted.tokens >= body.len() as u64);
        }
    }
}

/// Longer texts are counted in pieces: bounded, and close to what they have as a whole.
#[test]
fn long_texts_are_counted_in_pieces() {
    let words = "Every node of the network signs what it has done. ";
    let whole = words.repeat(limits::EXACT_BYTES / words.len() / 2);
    let exact = answer("llama3", &whole);
    assert_eq!(exact.level, CountLevel::Exact);
    let long = answer("llama3", &whole.repeat(3));
    assert_eq!(long.level, CountLevel::Bounded);
    let pieces = (long.allowance - 3 * exact.tokens * 2 / 100) / 16;
    assert!((12..=24).contains(&pieces), "{pieces}");
    assert!(
        long.tokens.abs_diff(3 * exact.tokens) <= pieces,
        "{long:?} {exact:?}"
    );
    let prompt = chat("llama3", &whole.repeat(3));
    assert_eq!(prompt.level, CountLevel::Bounded);
    assert!(prompt.tokens.abs_diff(3 * exact.tokens) <= pieces);
    // No place to cut at, and none within a letter.
    let long = answer("llama3", &"ä".repeat(limits::EXACT_BYTES / 2 + 1));
    assert_eq!(long.level, CountLevel::Bounded);
}

#[test]
fn what_is_too_large_is_not_counted() {
    let most = limits::REQUEST_BYTES;
    let large = chat("chatml", &"a ".repeat(most / 2));
    assert_eq!(large.level, CountLevel::None);
    assert!(large.tokens > most as u64);
    let large = answer("chatml", &"a".repeat(limits::TEXT_BYTES + 1));
    assert_eq!(large, Counted::none(limits::TEXT_BYTES as u64 + 2));
    let halves = "a".repeat(limits::TEXT_BYTES / 2 + 1);
    let choices = [AnswerText::of(&halves), AnswerText::of(&halves)];
    assert_eq!(
        COUNTER.count_answer(model("chatml"), &choices).level,
        CountLevel::None
    );
}

#[test]
fn thousands_of_messages_are_counted() {
    let turns = |count: usize| {
        let turn = |at: usize| json!({"role": if at.is_multiple_of(2) { "user" } else { "assistant" }, "content": "so"});
        json!({"messages": (0..count).map(turn).collect::<Vec<_>>()})
    };
    let few = request("gemma", Route::Chat, &turns(3), 0);
    assert_eq!(few.level, CountLevel::Exact);
    let many = request("gemma", Route::Chat, &turns(limits::MESSAGES - 1), 0);
    assert_eq!(many.level, CountLevel::Exact);
    let more = request("gemma", Route::Chat, &turns(limits::MESSAGES + 1), 0);
    assert_eq!(more.level, CountLevel::Bounded);
    assert!(more.most_billed() > many.tokens);
}

/// `[MASK]` takes the spaces before it along, for which all of the text before it is read each time.
#[test]
fn a_text_that_makes_a_tokenizer_read_it_over_and_over_is_not_counted() {
    let body = |times: usize| json!({"prompt": "[MASK]".repeat(times)});
    let few = request("wordpiece", Route::Completions, &body(100), 0);
    assert_eq!((few.tokens, few.level), (102, CountLevel::Exact));
    let many = request("wordpiece", Route::Completions, &body(100_000), 0);
    assert_eq!(many.level, CountLevel::None);
}
