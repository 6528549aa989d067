//! vLLM.

use super::support::*;
use dgon_testkit::runtime::{Kind, SimConfig};

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
