//! Ollama, native and OpenAI.

use super::support::*;
use dgon_testkit::runtime::Kind;

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
