//! Text Generation Inference.

use super::support::*;
use dgon_testkit::runtime::Kind;

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
