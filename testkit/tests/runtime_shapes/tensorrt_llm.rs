//! `trtllm-serve`.

use super::support::*;
use dgon_testkit::runtime::Kind;

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
