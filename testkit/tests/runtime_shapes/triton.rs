//! Triton's generate extension.

use super::support::*;
use dgon_testkit::runtime::{Kind, SimConfig};

#[tokio::test]
async fn triton() {
    let kind = Kind::Triton;
    let text = r#"{"text_input":"What is it?","max_tokens":5}"#;
    let quiet: fn(&mut SimConfig) = |config| config.prompt_details = false;
    let tiny: fn(&mut SimConfig) = |config| {
        config.prompt_details = false;
        config.models = vec!["tiny".to_owned()];
    };
    let broken: fn(&mut SimConfig) = |config| {
        config.prompt_details = false;
        config.models = vec!["tiny".to_owned()];
        config.faults.error_after = Some(1);
    };
    let stream = "/v2/models/tiny/generate_stream";
    let cases = [
        case(kind, "GET", "/v2", "", "triton_v2.json"),
        case(kind, "GET", "/nope", "", "triton_error_404.json"),
        case(
            kind,
            "POST",
            "/v2/models/tiny/generate",
            text,
            "triton_generate.json",
        )
        .with(tiny),
        case(
            kind,
            "POST",
            "/v2/models/tiny/versions/1/generate",
            text,
            "triton_generate.json",
        )
        .with(tiny),
        case(kind, "POST", stream, text, "triton_generate_stream_min.sse").with(tiny),
        case(
            kind,
            "POST",
            stream,
            text,
            "triton_generate_stream_error_midway.sse",
        )
        .with(broken),
        case(
            kind,
            "POST",
            "/v2/models/ensemble/generate_stream",
            text,
            "triton_generate_stream.sse",
        )
        .with(quiet),
        case(
            kind,
            "POST",
            "/v2/models/nope/generate",
            text,
            "triton_error_unknown_model.json",
        ),
    ];
    for case in cases {
        check(case).await;
    }
}

#[tokio::test]
async fn readiness_is_told_by_status_alone_and_listing_is_a_post() {
    let kind = Kind::Triton;
    let mut config = SimConfig::new(kind);
    config.loading = std::time::Duration::from_secs(60);
    let runtime = dgon_testkit::runtime::SimRuntime::start(config)
        .await
        .unwrap();
    for (method, path, status, body) in [
        ("GET", "/v2/health/live", 200, ""),
        ("GET", "/v2/health/ready", 400, ""),
        ("GET", "/v2/models/ensemble/ready", 200, ""),
        ("GET", "/v2/models/nope/ready", 400, ""),
        (
            "POST",
            "/v2/repository/index",
            200,
            r#"[{"name":"ensemble","version":"1","state":"LOADING"}]"#,
        ),
        (
            "GET",
            "/v2/repository/index",
            405,
            r#"{"error":"Method Not Allowed"}"#,
        ),
        ("GET", "/v1/models", 404, r#"{"error":"Not Found"}"#),
    ] {
        let one = case(kind, method, path, "", "");
        assert_eq!(
            send(&runtime.url(), &one).await,
            (status, body.to_owned()),
            "{method} {path}"
        );
    }
    let mut metrics = runtime.addr();
    metrics.set_port(metrics.port() + 2);
    let one = case(kind, "GET", "/metrics", "", "");
    let (status, text) = send(&format!("http://{metrics}"), &one).await;
    assert_eq!(status, 200);
    for name in [
        "nv_inference_pending_request_count{",
        "nv_trt_llm_request_metrics{model=\"ensemble\",request_type=\"waiting\",version=\"1\"} 0",
        "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\"",
    ] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
}
