//! Overload as each server tells it, and the books of the simulation.

use super::support::*;
use dgon_testkit::runtime::{Faults, Kind, SimConfig, SimRuntime};

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
    for kind in Kind::OPENAI {
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
