//! Simulated runtimes against recorded and source-checked exchanges of the real ones (`tests/exchanges/`).
//!
//! A *shape* is the exact bytes with every scalar's value taken out: framing, key order, which members are there,
//! which are null. Runs of equal events and of equal array elements count as one, so lengths do not matter.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use dgon_testkit::runtime::{Faults, Kind, SimConfig, SimRuntime};
use std::path::Path;

/// Members whose text is part of the shape.
const FIXED: [&str; 10] = [
    "object",
    "role",
    "owned_by",
    "type",
    "done_reason",
    "router",
    "stop_type",
    "error_type",
    "finish_reason",
    "max_concurrent_requests",
];

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/exchanges")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// The shape of JSON text; keeps the order of its members.
struct Shaper<'a> {
    rest: &'a [u8],
}

impl Shaper<'_> {
    fn string(&mut self) -> String {
        let mut end = 1;
        while self.rest[end] != b'"' {
            end += if self.rest[end] == b'\\' { 2 } else { 1 };
        }
        let text = String::from_utf8(self.rest[1..end].to_vec()).unwrap();
        self.rest = &self.rest[end + 1..];
        text
    }

    fn value(&mut self, member: &str) -> String {
        match self.rest[0] {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => {
                let text = self.string();
                if FIXED.contains(&member) {
                    format!("\"{text}\"")
                } else {
                    "s".to_owned()
                }
            }
            _ => {
                let end = self
                    .rest
                    .iter()
                    .position(|b| b",]}".contains(b))
                    .unwrap_or(self.rest.len());
                let word = String::from_utf8(self.rest[..end].to_vec()).unwrap();
                self.rest = &self.rest[end..];
                match word.as_str() {
                    "null" => word,
                    "true" | "false" => "b".to_owned(),
                    _ => "n".to_owned(),
                }
            }
        }
    }

    fn object(&mut self) -> String {
        let mut out = String::from("{");
        self.rest = &self.rest[1..];
        while self.rest[0] != b'}' {
            if self.rest[0] == b',' {
                self.rest = &self.rest[1..];
                out.push(',');
            }
            let key = self.string();
            assert_eq!(self.rest[0], b':', "no space after a key");
            self.rest = &self.rest[1..];
            out.push_str(&format!("{key}:{}", self.value(&key)));
        }
        self.rest = &self.rest[1..];
        out + "}"
    }

    fn array(&mut self) -> String {
        let mut items: Vec<String> = Vec::new();
        self.rest = &self.rest[1..];
        while self.rest[0] != b']' {
            if self.rest[0] == b',' {
                self.rest = &self.rest[1..];
            }
            items.push(self.value(""));
        }
        self.rest = &self.rest[1..];
        items.dedup();
        format!("[{}]", items.join(","))
    }
}

fn json_shape(text: &str) -> String {
    let mut shaper = Shaper {
        rest: text.as_bytes(),
    };
    let shape = shaper.value("");
    shape
        + &String::from_utf8_lossy(shaper.rest)
            .escape_debug()
            .to_string()
}

/// Splits where `separator` ends a piece; every piece keeps it.
fn stream_shape(text: &str) -> Vec<String> {
    let separator = if text.contains("\n\n") { "\n\n" } else { "\n" };
    let mut shapes: Vec<String> = text
        .split_inclusive(separator)
        .map(|piece| match piece.find('{') {
            Some(start) => piece[..start].to_owned() + &json_shape(&piece[start..]),
            None => piece.escape_debug().to_string(),
        })
        .collect();
    shapes.dedup();
    shapes
}

struct Case {
    kind: Kind,
    set: fn(&mut SimConfig),
    method: &'static str,
    path: &'static str,
    body: String,
    fixture: &'static str,
}

fn case(
    kind: Kind,
    method: &'static str,
    path: &'static str,
    body: &str,
    fixture: &'static str,
) -> Case {
    Case {
        kind,
        set: |_| {},
        method,
        path,
        body: body.to_owned(),
        fixture,
    }
}

impl Case {
    fn with(mut self, set: fn(&mut SimConfig)) -> Self {
        self.set = set;
        self
    }
}

async fn send(url: &str, case: &Case) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = reqwest::Method::from_bytes(case.method.as_bytes()).unwrap();
    let request = client
        .request(method, format!("{url}{}", case.path))
        .body(case.body.clone());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The status that the name of a fixture tells.
fn expected_status(name: &str) -> u16 {
    let stem = name.rsplit_once('.').unwrap().0.trim_end_matches("_legacy");
    let last = stem.rsplit('_').next().unwrap().trim_start_matches("err");
    last.parse()
        .ok()
        .filter(|status| *status >= 200)
        .unwrap_or(200)
}

async fn check(case: Case) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = SimConfig::new(case.kind);
    config.answer_tokens = Some(5);
    // A seed whose five tokens are five whole characters.
    config.seed = 3;
    (case.set)(&mut config);
    let runtime = SimRuntime::start(config).await.unwrap();
    let (status, answer) = send(&runtime.url(), &case).await;
    let wanted = fixture(case.fixture);
    let what = format!("{} {} against {}", case.kind, case.path, case.fixture);
    assert_eq!(status, expected_status(case.fixture), "{what}: {answer}");
    if case.fixture.ends_with(".txt") {
        assert_eq!(answer, wanted, "{what}");
    } else if case.fixture.ends_with(".json") {
        assert_eq!(json_shape(&answer), json_shape(&wanted), "{what}");
    } else {
        assert_eq!(stream_shape(&answer), stream_shape(&wanted), "{what}");
    }
}

fn chat(model: &str, rest: &str) -> String {
    format!(
        "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"What is it?\"}}]{rest}}}"
    )
}

const USAGE: &str = ",\"stream\":true,\"stream_options\":{\"include_usage\":true}";

#[tokio::test]
async fn ollama_native() {
    let kind = Kind::Ollama;
    let generate = "{\"model\":\"sim-chat:1b\",\"prompt\":\"sky\",\"options\":{\"num_predict\":2}}";
    let cases = [
        case(kind, "GET", "/", "", "ollama_root.txt"),
        case(kind, "GET", "/api/version", "", "ollama_version.json"),
        case(kind, "GET", "/api/ps", "", "ollama_ps_empty.json"),
        case(
            kind,
            "POST",
            "/api/show",
            "{\"model\":\"sim-chat:1b\"}",
            "ollama_show.json",
        ),
        case(
            kind,
            "POST",
            "/api/chat",
            &chat("sim-chat:1b", ""),
            "ollama_chat_stream.ndjson",
        ),
        case(
            kind,
            "POST",
            "/api/chat",
            &chat("sim-chat:1b", ",\"stream\":false"),
            "ollama_chat.json",
        ),
        case(
            kind,
            "POST",
            "/api/generate",
            generate,
            "ollama_generate_stream.ndjson",
        ),
        case(
            kind,
            "POST",
            "/api/generate",
            "{\"model\":\"sim-chat:1b\"}",
            "ollama_generate_load.json",
        ),
        case(
            kind,
            "POST",
            "/api/generate",
            "{\"model\":\"sim-chat:1b\",\"keep_alive\":0}",
            "ollama_generate_unload.json",
        ),
        case(
            kind,
            "POST",
            "/api/chat",
            &chat("sim-chat:1b", ""),
            "ollama_chat_stream_error_midway.ndjson",
        )
        .with(|config| config.faults.error_after = Some(2)),
        case(
            kind,
            "POST",
            "/api/chat",
            &chat("nope", ""),
            "ollama_error_model_not_found_404.json",
        ),
    ];
    for case in cases {
        check(case).await;
    }
}

#[tokio::test]
async fn ollama_openai() {
    let kind = Kind::Ollama;
    let model = "sim-chat:1b";
    let completion =
        format!("{{\"model\":\"{model}\",\"prompt\":\"sky\",\"max_tokens\":2{USAGE}}}");
    let cases = [
        case(kind, "GET", "/v1/models", "", "ollama_v1_models.json")
            .with(|config| config.models.push("acme/embed:v2".to_owned())),
        case(
            kind,
            "POST",
            "/v1/chat/completions",
            &chat(model, ""),
            "ollama_v1_chat.json",
        ),
        case(
            kind,
            "POST",
            "/v1/chat/completions",
            &chat(model, USAGE),
            "ollama_v1_chat_stream_usage.sse",
        ),
        case(
            kind,
            "POST",
            "/v1/chat/completions",
            &chat(model, ",\"stream\":true"),
            "ollama_v1_chat_stream_nousage.sse",
        ),
        case(
            kind,
            "POST",
            "/v1/chat/completions",
            &chat(model, USAGE),
            "ollama_v1_chat_stream_legacy.sse",
        )
        .with(|config| config.legacy = true),
        case(
            kind,
            "POST",
            "/v1/chat/completions",
            &chat(model, ",\"stream\":true"),
            "ollama_v1_chat_stream_error_midway.sse",
        )
        .with(|config| config.faults.error_after = Some(2)),
        case(
            kind,
            "POST",
            "/v1/completions",
            &completion,
            "ollama_v1_completions_stream_usage.sse",
        ),
        case(
            kind,
            "POST",
            "/v1/chat/completions",
            &chat("nope", ""),
            "ollama_v1_error_model_not_found_404.json",
        ),
    ];
    for case in cases {
        check(case).await;
    }
}

#[tokio::test]
async fn vllm() {
    let kind = Kind::Vllm;
    let model = "dgon/sim-chat";
    let path = "/v1/chat/completions";
    let plain: fn(&mut SimConfig) = |config| config.prompt_details = false;
    let running = ",\"stream\":true,\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true}";
    let length = |options: &str| chat(model, &format!(",\"max_tokens\":3{options}"));
    let completion =
        format!("{{\"model\":\"{model}\",\"prompt\":\"sky\",\"max_tokens\":2{USAGE}}}");
    let long = chat(model, "").replace("What is it?", &"word ".repeat(5000));
    let cases = [
        case(kind, "GET", "/version", "", "vllm_version.json"),
        case(kind, "DELETE", "/version", "", "vllm-0.32.0_err405.json"),
        case(kind, "GET", "/load", "", "vllm_load.json"),
        case(kind, "GET", "/v1/models", "", "vllm-0.32.0_models.json"),
        case(kind, "POST", path, &chat(model, ""), "vllm_chat.json"),
        case(
            kind,
            "POST",
            path,
            &length(",\"stream\":true"),
            "vllm_chat_stream_nousage.sse",
        ),
        case(
            kind,
            "POST",
            path,
            &chat(model, USAGE),
            "vllm_chat_stream_usage.sse",
        )
        .with(plain),
        case(
            kind,
            "POST",
            path,
            &chat(model, USAGE),
            "vllm_chat_stream_usage_cached.sse",
        ),
        case(
            kind,
            "POST",
            path,
            &chat(model, running),
            "vllm_chat_stream_continuous_usage.sse",
        )
        .with(plain),
        case(
            kind,
            "POST",
            path,
            &chat(model, ",\"stream\":true"),
            "vllm_chat_stream_error_midway.sse",
        )
        .with(|config| config.faults.error_after = Some(1)),
        case(
            kind,
            "POST",
            "/v1/completions",
            &completion,
            "vllm_completions_stream_usage.sse",
        )
        .with(plain),
        case(
            kind,
            "POST",
            path,
            &long,
            "vllm_error_context_overflow_400.json",
        ),
        case(
            kind,
            "POST",
            path,
            &chat("nope", ""),
            "vllm_error_model_not_found_404.json",
        ),
        case(
            kind,
            "POST",
            path,
            &chat("nope", ""),
            "vllm_error_model_not_found_404_legacy.json",
        )
        .with(|config| config.legacy = true),
        case(
            kind,
            "GET",
            "/v1/models",
            "",
            "vllm_error_unauthorized_401.json",
        )
        .with(|config| config.api_key = Some("k".to_owned())),
        case(
            kind,
            "POST",
            path,
            "{\"model\":\"dgon/sim-chat\"}",
            "vllm_error_validation_400.json",
        ),
    ];
    for case in cases {
        check(case).await;
    }
}

#[tokio::test]
async fn tgi() {
    let kind = Kind::Tgi;
    let native = |rest: &str| {
        format!("{{\"inputs\":\"What is it?\",\"parameters\":{{\"max_new_tokens\":50{rest}}}}}")
    };
    let (bare, details) = (native(""), native(",\"details\":true"));
    let too_much = "{\"inputs\":\"x\",\"parameters\":{\"max_new_tokens\":5000}}";
    let path = "/v1/chat/completions";
    let completion = format!("{{\"model\":\"tgi\",\"prompt\":\"sky\",\"max_tokens\":2{USAGE}}}");
    let cases = [
        case(kind, "GET", "/info", "", "tgi_info.json"),
        case(kind, "GET", "/v1/models", "", "tgi_models.json")
            .with(|config| config.models = vec!["acme/tiny-chat".to_owned()]),
        case(kind, "POST", "/generate", &details, "tgi_generate.json"),
        case(
            kind,
            "POST",
            "/generate",
            &bare,
            "tgi_generate_nodetails.json",
        ),
        case(
            kind,
            "POST",
            "/generate_stream",
            &details,
            "tgi_generate_stream.sse",
        ),
        case(
            kind,
            "POST",
            "/generate_stream",
            &bare,
            "tgi_generate_stream_nodetails.sse",
        ),
        case(
            kind,
            "POST",
            "/generate_stream",
            &details,
            "tgi_generate_stream_nospace_v20.sse",
        )
        .with(|config| config.legacy = true),
        case(
            kind,
            "POST",
            "/generate_stream",
            &details,
            "tgi_generate_stream_error_midway.sse",
        )
        .with(|config| config.faults.error_after = Some(2)),
        case(kind, "POST", path, &chat("tgi", ""), "tgi_chat.json"),
        case(
            kind,
            "POST",
            path,
            &chat("tgi", USAGE),
            "tgi_chat_stream_usage.sse",
        ),
        case(
            kind,
            "POST",
            path,
            &chat("tgi", ",\"stream\":true"),
            "tgi_chat_stream_nousage.sse",
        ),
        case(
            kind,
            "POST",
            path,
            &chat("tgi", ",\"stream\":true,\"max_tokens\":5000"),
            "tgi_chat_stream_error.sse",
        ),
        case(
            kind,
            "POST",
            "/v1/completions",
            &completion,
            "tgi_completions_stream.sse",
        ),
        case(
            kind,
            "POST",
            "/generate",
            too_much,
            "tgi_error_validation_422.json",
        ),
    ];
    for case in cases {
        check(case).await;
    }
}

#[tokio::test]
async fn tensorrt_llm() {
    let kind = Kind::TensorRtLlm;
    let path = "/v1/chat/completions";
    let long = chat("any", "").replace("What is it?", &"word ".repeat(5000));
    let cases = [
        case(kind, "GET", "/version", "", "trtllm_version.json"),
        case(kind, "GET", "/v1/models", "", "trtllm_models.json"),
        case(kind, "GET", "/metrics", "", "trtllm_metrics_empty.json"),
        case(kind, "POST", path, &chat("any", ""), "trtllm_chat.json"),
        case(
            kind,
            "POST",
            path,
            &chat("any", ",\"stream\":true"),
            "trtllm_chat_stream_nousage.sse",
        ),
        case(
            kind,
            "POST",
            path,
            &chat("any", USAGE),
            "trtllm_chat_stream_usage.sse",
        ),
        case(kind, "POST", path, &long, "trtllm_error_400.json"),
        case(
            kind,
            "POST",
            path,
            &chat("any", ",\"keep_alive\":\"5m\""),
            "trtllm_error_validation_400.json",
        ),
    ];
    for case in cases {
        check(case).await;
    }
}

#[tokio::test]
async fn llama_cpp() {
    let kind = Kind::LlamaCpp;
    let path = "/v1/chat/completions";
    let limited = |rest: &str| chat("any", &format!(",\"max_tokens\":3{rest}"));
    let long = chat("any", "").replace("What is it?", &"word ".repeat(5000));
    let cases = [
        case(kind, "GET", "/health", "", "llamacpp-0c1e570_health.json"),
        case(
            kind,
            "GET",
            "/v1/models",
            "",
            "llamacpp-0c1e570_models.json",
        ),
        case(kind, "GET", "/slots", "", "llamacpp-0c1e570_slots.json"),
        case(
            kind,
            "POST",
            path,
            &limited(""),
            "llamacpp-0c1e570_chat.json",
        ),
        case(
            kind,
            "POST",
            path,
            &limited(",\"stream\":true"),
            "llamacpp-0c1e570_chat_stream.sse",
        ),
        case(
            kind,
            "POST",
            path,
            &limited(USAGE),
            "llamacpp-0c1e570_chat_stream_usage.sse",
        ),
        case(
            kind,
            "POST",
            path,
            &long,
            "llamacpp-0c1e570_error_context_400.json",
        ),
        case(
            kind,
            "POST",
            path,
            "{\"model\": \"",
            "llamacpp-0c1e570_error_bad_json_500.json",
        ),
        case(
            kind,
            "POST",
            path,
            "{\"model\":\"any\"}",
            "llamacpp-0c1e570_error_messages_required_400.json",
        ),
        case(
            kind,
            "GET",
            "/nope",
            "",
            "llamacpp-0c1e570_error_path_404.json",
        ),
        case(
            kind,
            "GET",
            "/v1/models",
            "",
            "llamacpp-0c1e570_error_unauthorized_401.json",
        )
        .with(|config| config.api_key = Some("k".to_owned())),
        case(
            kind,
            "GET",
            "/health",
            "",
            "llamacpp-0c1e570_loading_503.json",
        )
        .with(|config| config.loading = std::time::Duration::from_secs(60)),
    ];
    for case in cases {
        check(case).await;
    }
}

/// One slot, taken by an answer that never ends; nobody may wait.
#[tokio::test]
async fn overload() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stream = ",\"stream\":true";
    let cases = [
        (
            Kind::Ollama,
            "/api/chat",
            stream,
            "ollama_error_busy_503.json",
        ),
        (
            Kind::Ollama,
            "/v1/chat/completions",
            stream,
            "ollama_v1_error_busy_503.json",
        ),
        (
            Kind::Vllm,
            "/v1/chat/completions",
            "",
            "vllm_error_queue_full_503.json",
        ),
        (
            Kind::Vllm,
            "/v1/chat/completions",
            stream,
            "vllm-0.32.0_overload_in_stream_200.sse",
        ),
        (
            Kind::Tgi,
            "/v1/chat/completions",
            "",
            "tgi_error_overloaded_429.json",
        ),
    ];
    for (kind, path, rest, name) in cases {
        let mut config = SimConfig::new(kind);
        (config.parallel, config.queue_limit) = (1, Some(0));
        config.faults.stall_after = Some(1);
        let runtime = SimRuntime::start(config).await.unwrap();
        let body = chat(kind.default_model(), rest);
        let case = case(kind, "POST", path, &body, name);
        let url = runtime.url();
        let hanging = tokio::spawn({
            let (url, body) = (url.clone(), body.clone());
            async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                client
                    .post(format!("{url}{path}"))
                    .body(body)
                    .send()
                    .await
                    .unwrap()
                    .bytes()
                    .await
            }
        });
        while runtime.stats().running == 0 {
            tokio::task::yield_now().await;
        }
        let (status, answer) = send(&url, &case).await;
        assert_eq!(status, expected_status(name), "{kind}: {answer}");
        assert_eq!(answer.trim_end(), fixture(name).trim_end(), "{kind}");
        hanging.abort();
        while runtime.stats().cancelled == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            (runtime.stats().running, runtime.stats().overloaded),
            (0, 1),
            "{kind}"
        );
    }
}

/// Tokens as a reader finds them in the answer equal what the server booked.
#[tokio::test]
async fn token_accounting_is_true() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for kind in Kind::ALL {
        let mut config = SimConfig::new(kind);
        config.faults = Faults::default();
        let runtime = SimRuntime::start(config).await.unwrap();
        let mut told = 0;
        for turn in 0..4 {
            let body =
                chat(kind.default_model(), "").replace("What is it?", &format!("turn {turn}"));
            let case = case(
                kind,
                "POST",
                "/v1/chat/completions",
                &body,
                "ollama_v1_chat.json",
            );
            let (status, answer) = send(&runtime.url(), &case).await;
            assert_eq!(status, 200, "{answer}");
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            told += answer["usage"]["completion_tokens"].as_u64().unwrap();
        }
        assert_eq!(told, runtime.stats().output_tokens, "{kind}");
        assert!(told >= 32, "{kind}: {told}");
    }
}
