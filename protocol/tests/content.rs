//! RFC 8785 of general JSON by the RFC's own examples, keyed hashes, and answers put together of their chunks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dgon_protocol::content::{Blake3Hash, Choices, ContentError, ContentKey};
use dgon_protocol::limits::{CONTENT_BYTES, CONTENT_CHOICES, CONTENT_DEPTH, CONTENT_TOOL_CALLS};
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::strict::{self, StrictErrorKind, canonical_json, write_number};
use proptest::prelude::*;
use serde_json::{Value, json};

fn canonical(text: &str) -> String {
    String::from_utf8(canonical_json(text.as_bytes(), 32).unwrap()).unwrap()
}

fn number(value: f64) -> Option<String> {
    let mut out = String::new();
    write_number(&mut out, value).then_some(out)
}

/// RFC 8785, appendix B: the bits of a double, and how it is written.
const NUMBERS: [(u64, &str); 24] = [
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

#[test]
fn numbers_of_appendix_b() {
    for (bits, expected) in NUMBERS {
        assert_eq!(number(f64::from_bits(bits)).as_deref(), Some(expected));
        if bits != 0x8000_0000_0000_0000 {
            assert_eq!(expected.parse::<f64>().unwrap().to_bits(), bits);
            assert_eq!(canonical(expected), expected);
        }
    }
    for bits in [
        0x7fff_ffff_ffff_ffff,
        0x7ff0_0000_0000_0000,
        0xfff0_0000_0000_0000,
    ] {
        assert_eq!(number(f64::from_bits(bits)), None);
    }
}

#[test]
fn documents_of_the_rfc_and_its_test_data() {
    let cases = [
        // Section 3.2.2.
        (
            r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
                "literals": [null, true, false]}"#,
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#,
        ),
        // Section 3.2.3.
        (
            r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
                "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}"#,
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
        ),
        (
            r#"[ 56, { "d": true, "10": null, "1": [ ] } ]"#,
            r#"[56,{"1":[],"10":null,"d":true}]"#,
        ),
        (
            "{\"1\": {\"f\": {\"f\": \"hi\",\"F\": 5} ,\"\\n\": 56.0}, \"10\": { }, \"\": \"empty\", \"a\": { }, \"111\": [ { } ], \"A\": { }}",
            r#"{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{}],"A":{},"a":{}}"#,
        ),
        // In the order of bytes, but not of UTF-16.
        ("{\"\u{fb33}\":1,\"😀\":2}", "{\"😀\":2,\"\u{fb33}\":1}"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1.0", "1"),
        ("1e2", "100"),
        ("-1E-7", "-1e-7"),
        ("9007199254740993", "9007199254740992"),
        ("1e-400", "0"),
        ("123456789012345678901234567890", "1.2345678901234568e+29"),
    ];
    for (input, expected) in cases {
        assert_eq!(canonical(input), expected);
        assert_eq!(canonical(expected), expected);
    }
}

#[test]
fn general_json_has_one_meaning_too() {
    use StrictErrorKind as Kind;
    let cases: [(&[u8], Kind); 27] = [
        (b"", Kind::Syntax),
        (b"\xff", Kind::NotUtf8),
        (b"\xef\xbb\xbf{}", Kind::ByteOrderMark),
        (b"{} {}", Kind::Trailing),
        (br#"{"a":1,"a":1}"#, Kind::DuplicateKey),
        (br#"{"b":1,"a":1,"b":1}"#, Kind::DuplicateKey),
        (br#"{"a":1,"\u0061":1}"#, Kind::DuplicateKey),
        (br#"[{"a":1,"a":2}]"#, Kind::DuplicateKey),
        (b"01", Kind::Number),
        (b"-01", Kind::Number),
        (b"-", Kind::Number),
        (b"1.", Kind::Number),
        (b"1.e1", Kind::Number),
        (b"1e", Kind::Number),
        (b"1e+", Kind::Number),
        (b".5", Kind::Syntax),
        (b"+1", Kind::Syntax),
        (b"NaN", Kind::Syntax),
        (b"-Infinity", Kind::Number),
        (b"1e309", Kind::NotFinite),
        (b"-1e999999999999", Kind::NotFinite),
        (br#""\ud800""#, Kind::Surrogate),
        (b"\"\n\"", Kind::Syntax),
        (b"[1,]", Kind::Syntax),
        (b"{\"a\":1,}", Kind::Syntax),
        (b"{1:1}", Kind::Syntax),
        (b"[[[]]]", Kind::Depth),
    ];
    for (input, kind) in cases {
        let text = String::from_utf8_lossy(input);
        assert_eq!(canonical_json(input, 2).unwrap_err().kind, kind, "{text}");
    }
    let second = canonical_json(br#"{"b":1,"a":2,"b":3}"#, 2).unwrap_err();
    assert_eq!(second.offset, 13, "of the second key");
}

fn key() -> ContentKey {
    ContentKey::from_bytes(std::array::from_fn(|i| i as u8))
}

#[test]
fn exact_hashes() {
    insta::assert_snapshot!(key().hash());
    insta::assert_snapshot!(key().request_hash(br#"{"b":1.50,"a":"x"}"#).unwrap());
    insta::assert_snapshot!(key().body_hash(b"body"));
    insta::assert_snapshot!(answer().content_hash(&key()));
}

#[test]
fn a_request_has_one_hash_in_any_form() {
    let hash = |text: &str| key().request_hash(text.as_bytes());
    let plain = hash(r#"{"a":1,"temperature":0.5}"#).unwrap();
    assert_eq!(
        hash("{ \"temperature\": 5E-1,\n \"\\u0061\": 1.0 }"),
        Ok(plain)
    );
    assert_ne!(hash(r#"{"a":2,"temperature":0.5}"#), Ok(plain));
    let other = ContentKey::from_bytes([1; 32]);
    assert_ne!(
        other.request_hash(br#"{"a":1,"temperature":0.5}"#),
        Ok(plain)
    );
    for none in ["[]", "1", "\"{\"", "", "{\"a\":1,\"a\":1}"] {
        assert!(hash(none).is_err(), "{none}");
    }
    let nested = |levels: usize| {
        let inner = levels - 1;
        format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
    };
    assert!(hash(&nested(CONTENT_DEPTH)).is_ok());
    assert!(hash(&nested(CONTENT_DEPTH + 1)).is_err());
}

#[test]
fn a_body_has_one_hash_in_any_pieces() {
    let mut hasher = key().body_hasher();
    hasher.update(b"bo");
    hasher.update(b"");
    assert_ne!(hasher.finish(), key().body_hash(b"body"));
    hasher.update(b"dy");
    assert_eq!(hasher.finish(), key().body_hash(b"body"));
}

#[test]
fn keys_and_hashes_have_one_text_form() {
    let text = key().to_hex();
    assert_eq!(&text[..8], "00010203");
    assert_eq!(ContentKey::parse(&text).unwrap().hash(), key().hash());
    assert_eq!(
        key().hash(),
        Sha256Hash::of(&std::array::from_fn::<u8, 32, _>(|i| i as u8))
    );
    for bad in [
        "",
        &text[1..],
        &text.to_uppercase(),
        &format!("{}zz", &text[2..]),
    ] {
        assert!(ContentKey::parse(bad).is_none(), "{bad}");
    }
    let hash = Blake3Hash([0xab; 32]).to_string();
    assert_eq!(Blake3Hash::parse(&hash), Some(Blake3Hash([0xab; 32])));
    for bad in [
        &hash[7..],
        &hash.replace("ab", "AB"),
        &hash.replace("blake3", "sha256"),
        &hash[..70],
    ] {
        assert_eq!(Blake3Hash::parse(bad), None, "{bad}");
    }
}

/// As a runtime streams them, with what the rule leaves out.
const CHUNKS: [&str; 10] = [
    r#"{"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
    r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]}"#,
    r#"{"choices":[{"index":0,"delta":{"reasoning_content":"!","reasoning":"!","content":null}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":{"content":[{"token":"Hel","logprob":-0.5}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"lo €"}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"t1","type":"function","function":{"name":"g","arguments":""}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t0","type":"function","function":{"name":"f","arguments":"{\"a\""}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":null,"function":{"arguments":":1}"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    r#"{"choices":[],"usage":{"total_tokens":9}}"#,
];

fn put_together(chunks: &[&str]) -> Choices {
    let mut choices = Choices::default();
    for chunk in chunks {
        choices.add(chunk.as_bytes()).unwrap();
    }
    choices
}

/// The same answer as the Python SDK 3.57.0 puts it together: `model_dump_json()` of `get_final_completion()`.
const PYTHON: &str = r#"{"id":"c","choices":[{"finish_reason":"tool_calls","index":0,"logprobs":null,"message":{"content":"Hello €","refusal":null,"role":"assistant","annotations":null,"audio":null,"function_call":null,"tool_calls":[{"id":"t0","function":{"arguments":"{\"a\":1}","name":"f","parsed_arguments":null},"type":"function","index":0},{"id":"t1","function":{"arguments":"","name":"g","parsed_arguments":null},"type":"function","index":1}],"parsed":null,"reasoning_content":"hm!"}}],"created":1,"model":"m","object":"chat.completion","metadata":null,"moderation":null,"service_tier":null,"system_fingerprint":null,"usage":{"completion_tokens":8,"prompt_tokens":1,"total_tokens":9,"completion_tokens_details":null,"prompt_tokens_details":null}}"#;

/// The same answer as the Node SDK 6.49.0 puts it together: `JSON.stringify` of `finalChatCompletion()`. Of the reasoning
/// it has the last piece.
const NODE: &str = r#"{"object":"chat.completion","usage":{"total_tokens":9,"prompt_tokens":1,"completion_tokens":8},"id":"c","choices":[{"index":0,"finish_reason":"tool_calls","logprobs":null,"message":{"role":"assistant","reasoning_content":"!","content":"Hello €","refusal":null,"tool_calls":[{"id":"t0","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"t1","type":"function","function":{"name":"g","arguments":""}}],"parsed":null}}],"created":1,"model":"m"}"#;

fn answer() -> Choices {
    Choices::of_answer(PYTHON.as_bytes()).unwrap()
}

#[test]
fn chunks_and_the_whole_answer_are_the_same_content() {
    let streamed = put_together(&CHUNKS);
    assert_eq!(
        String::from_utf8(streamed.canonical()).unwrap(),
        r#"[{"finish_reason":"tool_calls","index":0,"message":{"content":"Hello €","role":"assistant","tool_calls":[{"function":{"arguments":"{\"a\":1}","name":"f"},"id":"t0","type":"function"},{"function":{"name":"g"},"id":"t1","type":"function"}]}}]"#
    );
    for sdk in [PYTHON, NODE] {
        let whole = Choices::of_answer(sdk.as_bytes()).unwrap();
        assert_eq!(whole.canonical(), streamed.canonical());
        assert_eq!(whole.content_hash(&key()), streamed.content_hash(&key()));
    }
    assert_eq!(
        streamed.reasoning_hash(&key()),
        answer().reasoning_hash(&key())
    );
}

/// The Node SDK's helper keeps the last piece of what it does not know, so its object still has to prove the content.
#[test]
fn reasoning_has_a_hash_of_its_own() {
    let lost = answer();
    let object = r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"c","reasoning_content":"R"}}]}"#;
    let with = |reasoning: &str| {
        let object = object.replace("\"R\"", reasoning);
        Choices::of_answer(object.as_bytes()).unwrap()
    };
    assert_eq!(
        with("\"one\"").content_hash(&key()),
        with("\"other\"").content_hash(&key())
    );
    assert_ne!(
        with("\"one\"").reasoning_hash(&key()),
        with("\"other\"").reasoning_hash(&key())
    );
    assert_eq!(with("\"\"").reasoning_hash(&key()), None);
    assert_eq!(with("null").reasoning_hash(&key()), None);
    let expected = key().body_hash(br#"[{"index":0,"reasoning":"hm!"}]"#);
    assert_eq!(lost.reasoning_hash(&key()), Some(expected));
    let named = put_together(&[r#"{"choices":[{"delta":{"reasoning":"hm!"}}]}"#]);
    assert_eq!(named.reasoning_hash(&key()), Some(expected));
}

#[test]
fn what_is_empty_is_nothing() {
    let empty = Choices::default();
    assert_eq!(empty.canonical(), b"[]");
    for nothing in ["{}", r#"{"choices":null}"#, r#"{"choices":[]}"#] {
        assert_eq!(Choices::of_answer(nothing.as_bytes()).unwrap(), empty);
    }
    let bare = r#"[{"index":0}]"#;
    for choice in [
        r#"{}"#,
        r#"{"index":0,"delta":{}}"#,
        r#"{"delta":null,"finish_reason":null,"text":""}"#,
        r#"{"message":{"content":"","refusal":null,"tool_calls":[],"function_call":{"name":"","arguments":""}}}"#,
    ] {
        let read = Choices::of_answer(format!("{{\"choices\":[{choice}]}}").as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(read.canonical()).unwrap(),
            bare,
            "{choice}"
        );
    }
}

#[test]
fn choices_are_told_apart_by_their_index() {
    let read = put_together(&[
        r#"{"choices":[{"index":1,"text":"b"},{"index":0,"text":"a"}]}"#,
        r#"{"choices":[{"index":1,"text":"B","finish_reason":"length"},{"index":0,"text":"A","finish_reason":"stop"}]}"#,
    ]);
    assert_eq!(
        String::from_utf8(read.canonical()).unwrap(),
        r#"[{"finish_reason":"stop","index":0,"text":"aA"},{"finish_reason":"length","index":1,"text":"bB"}]"#
    );
    let other = put_together(&[r#"{"choices":[{"index":0,"text":"aAb"},{"index":1,"text":"B"}]}"#]);
    assert_ne!(read.content_hash(&key()), other.content_hash(&key()));
}

/// Some runtimes say role, id and name with each chunk.
#[test]
fn names_are_the_last_that_came_and_texts_add_up() {
    let read = put_together(&[
        r#"{"choices":[{"delta":{"role":"assistant","refusal":"n","function_call":{"name":"f","arguments":"{"},"tool_calls":[{"id":"t","function":{"name":"f","arguments":"1"}}]}}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","refusal":"o","function_call":{"name":"f","arguments":"}"},"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"2"}}]}}]}"#,
        r#"{"choices":[{"delta":{"role":"","tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":"3"}}]}}]}"#,
    ]);
    assert_eq!(
        String::from_utf8(read.canonical()).unwrap(),
        r#"[{"index":0,"message":{"function_call":{"arguments":"{}","name":"f"},"refusal":"no","role":"assistant","tool_calls":[{"function":{"arguments":"123","name":"f"},"id":"t","type":"function"}]}}]"#
    );
}

#[test]
fn answers_are_bounded() {
    let choices = |count: usize| {
        let list: Vec<Value> = (0..count)
            .map(|i| json!({"index": i, "text": "x"}))
            .collect();
        json!({ "choices": list }).to_string()
    };
    assert!(Choices::of_answer(choices(CONTENT_CHOICES).as_bytes()).is_ok());
    let many = Choices::of_answer(choices(CONTENT_CHOICES + 1).as_bytes());
    assert!(matches!(many, Err(ContentError::TooManyChoices)));
    let calls = |count: usize| {
        let list: Vec<Value> = (0..count).map(|i| json!({"index": i, "id": "t"})).collect();
        json!({"choices": [{"delta": {"tool_calls": list}}]}).to_string()
    };
    let mut one = Choices::of_answer(calls(CONTENT_TOOL_CALLS).as_bytes()).unwrap();
    one.add(calls(1).as_bytes()).unwrap();
    let many = Choices::of_answer(calls(CONTENT_TOOL_CALLS + 1).as_bytes());
    assert!(matches!(many, Err(ContentError::TooManyToolCalls)));

    let piece = json!({"choices": [{"text": "x".repeat(CONTENT_BYTES / 2)}]}).to_string();
    let mut long = Choices::default();
    long.add(piece.as_bytes()).unwrap();
    long.add(piece.as_bytes()).unwrap();
    let over = long.add(br#"{"choices":[{"text":"x"}]}"#);
    assert!(matches!(over, Err(ContentError::TooLarge)));
    let huge = vec![b' '; CONTENT_BYTES + 1];
    assert!(matches!(
        Choices::of_answer(&huge),
        Err(ContentError::TooLarge)
    ));
}

#[test]
fn what_is_no_chunk_is_refused() {
    for bad in [
        "",
        "1",
        "{",
        r#"{"choices":{}}"#,
        r#"{"choices":[{"index":-1}]}"#,
        r#"{"choices":[{"index":0.5}]}"#,
        r#"{"choices":[{"delta":{"content":["x"]}}]}"#,
        r#"{"choices":[{"delta":{"content":"a","content":"b"}}]}"#,
        r#"{"choices":[],"choices":[]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":{}}}]}}]}"#,
        "{\"choices\":[{\"text\":\"\\ud800\"}]}",
    ] {
        let read = Choices::of_answer(bad.as_bytes());
        assert!(matches!(read, Err(ContentError::Malformed(_))), "{bad}");
    }
}

/// General JSON, as serde_json builds it. Its doubles are read back with correct rounding by the standard library alone.
fn general_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |n| n.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_double_reads_back_and_is_written_as_shortly_as_it_can(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        if let Some(text) = number(value) {
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
            prop_assert_eq!(canonical(&text), text.clone());
            prop_assert_eq!(canonical(&format!("{value:e}")), text.clone());
            let digits = text.split('e').next().unwrap().chars().filter(char::is_ascii_digit).count();
            prop_assert!(digits <= 17 || !text.contains('e'));
        } else {
            prop_assert!(!value.is_finite());
        }
    }

    #[test]
    fn canonical_form_does_not_depend_on_the_spelling(value in general_json()) {
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        let compact = serde_json::to_vec(&value).unwrap();
        let bytes = canonical_json(&pretty, 64).unwrap();
        prop_assert_eq!(&canonical_json(&compact, 64).unwrap(), &bytes);
        prop_assert_eq!(&canonical_json(&bytes, 64).unwrap(), &bytes);
    }

    #[test]
    fn both_readers_agree_where_there_are_integers_alone(input in "[\\[\\]{}:,\"a-c0-9 \\\\-]{0,40}") {
        let strictly = strict::parse(input.as_bytes(), 8);
        let generally = canonical_json(input.as_bytes(), 8);
        match strictly {
            Ok(document) => prop_assert_eq!(strict::canonical(&document.root), generally.unwrap()),
            Err(error) if !matches!(error.kind, StrictErrorKind::Number | StrictErrorKind::Range) => {
                prop_assert_eq!(generally.unwrap_err(), error);
            }
            Err(_) => {}
        }
    }

    #[test]
    fn where_a_stream_is_cut_into_chunks_does_not_matter(text in "\\PC{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let letters: Vec<char> = text.chars().collect();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(letters.len() + 1)).collect();
        ends.push(letters.len());
        ends.sort_unstable();
        let (mut choices, mut from) = (Choices::default(), 0);
        for end in ends {
            let piece: String = letters[from..end].iter().collect();
            choices.add(json!({"choices": [{"delta": {"content": piece}}]}).to_string().as_bytes()).unwrap();
            from = end;
        }
        let whole = json!({"choices": [{"message": {"content": text}}]}).to_string();
        prop_assert_eq!(choices.canonical(), Choices::of_answer(whole.as_bytes()).unwrap().canonical());
    }

    #[test]
    fn no_bytes_panic(input in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = canonical_json(&input, 16);
        let _ = Choices::of_answer(&input);
    }
}
