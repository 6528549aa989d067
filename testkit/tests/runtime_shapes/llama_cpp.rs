//! llama-server.

use super::support::*;
use dgon_testkit::runtime::Kind;

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
