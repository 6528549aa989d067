//! The adapters against the example exchanges of the real runtimes: what each answer says is what is found.

use super::support::*;
use dgon_agent::runtime::{FoundRuntime, Readiness, RuntimeKind, discover};
use std::path::PathBuf;

fn body(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testkit/exchanges")
        .join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn file(name: &str) -> Page {
    page(&body(name))
}

fn answer(status: u16, headers: &'static str, name: &str) -> Page {
    (status, headers, body(name))
}

async fn find(pages: &[(&'static str, Page)]) -> (FoundRuntime, Pages) {
    let server = Pages::serve(pages).await;
    let mut found = discover(&only(&[server.addr])).await;
    assert_eq!(found.len(), 1);
    (found.remove(0), server)
}

fn ids(found: &FoundRuntime) -> Vec<&str> {
    found.models.iter().map(|model| model.id.as_str()).collect()
}

const SERVER_LLAMA: &str = "Server: llama.cpp\r\n";
const UVICORN: &str = "Server: uvicorn\r\n";

#[tokio::test]
async fn ollama() {
    let (found, _server) = find(&[
        ("/", file("ollama_root.txt")),
        ("/api/version", file("ollama_version.json")),
        ("/api/tags", file("ollama_tags.json")),
        ("/api/ps", file("ollama_ps.json")),
        ("/v1/models", file("ollama_v1_models.json")),
    ])
    .await;
    assert_eq!(found.kind, RuntimeKind::Ollama);
    assert_eq!(found.version.as_deref(), Some("0.32.15"));
    assert_eq!(ids(&found), ["tiny-test:latest", "acme/embed-mini:v2"]);
    let (chat, embed) = (&found.models[0], &found.models[1]);
    let digest = "9f4c1d2ab5e60718293a4b5c6d7e8f90112233445566778899aabbccddeeff00";
    assert_eq!(chat.digest, Some(format!("sha256:{digest}")));
    assert_eq!(
        (chat.size_bytes, chat.loaded),
        (Some(815_319_791), Some(true))
    );
    assert_eq!(
        (embed.size_bytes, embed.loaded),
        (Some(45_960_996), Some(false))
    );

    let (idle, _server) = find(&[
        ("/", file("ollama_root.txt")),
        ("/api/version", file("ollama_version.json")),
        ("/api/tags", file("ollama_tags.json")),
        ("/api/ps", file("ollama_ps_empty.json")),
    ])
    .await;
    assert!(idle.models.iter().all(|model| model.loaded == Some(false)));
    assert!(idle.is_ready(), "Ollama loads on demand");
}

#[tokio::test]
async fn vllm_of_three_ages() {
    for (models, metrics, version, name, kv_cache) in [
        (
            "vllm_models.json",
            "vllm_metrics.prom",
            "vllm_version.json",
            "0.33.0",
            Some(0.1875),
        ),
        (
            "vllm_models.json",
            "vllm_metrics_v0_legacy.prom",
            "vllm_version.json",
            "0.33.0",
            Some(0.1875),
        ),
        (
            "vllm-0.32.0_models.json",
            "vllm-0.32.0_metrics.prom",
            "vllm-0.32.0_version.json",
            "0.32.0",
            Some(0.0),
        ),
    ] {
        let (found, _server) = find(&[
            ("/", (404, UVICORN, "{\"detail\":\"Not Found\"}".to_owned())),
            ("/v1/models", file(models)),
            ("/health", page("")),
            ("/version", file(version)),
            ("/metrics", file(metrics)),
        ])
        .await;
        assert_eq!(found.kind, RuntimeKind::Vllm, "{metrics}");
        assert!(found.is_ready());
        assert!(
            found.version.as_deref().unwrap().starts_with(name),
            "{:?}",
            found.version
        );
        assert_eq!(found.kv_cache, kv_cache, "{metrics}");
        if models == "vllm_models.json" {
            assert_eq!(ids(&found), ["acme/tiny-chat", "tiny-chat-sql"]);
            assert_eq!((found.running, found.queue), (Some(2), Some(1)));
        }
        assert!(found.models.iter().all(|model| model.digest.is_none()));
    }
}

#[tokio::test]
async fn vllm_behind_a_key() {
    for (models, load) in [
        ("vllm_error_unauthorized_401.json", "vllm_load.json"),
        ("vllm-0.32.0_unauthorized_401.json", "vllm-0.32.0_load.json"),
    ] {
        let (found, _server) = find(&[
            ("/", (404, UVICORN, "{\"detail\":\"Not Found\"}".to_owned())),
            ("/v1/models", answer(401, UVICORN, models)),
            ("/load", file(load)),
            ("/health", page("")),
            ("/version", file("vllm_version.json")),
            ("/metrics", file("vllm_metrics.prom")),
        ])
        .await;
        assert_eq!(found.kind, RuntimeKind::Vllm);
        assert!(found.asks_for_key && found.is_ready());
        assert_eq!(found.queue, Some(1), "metrics stay open");
    }
}

#[tokio::test]
async fn tgi_from_the_hub_and_from_a_folder() {
    let (hub, _server) = find(&[
        ("/info", file("tgi_info.json")),
        ("/v1/models", file("tgi_models.json")),
        ("/v2", file("tgi_kserve_v2.json")),
        ("/health", page("")),
        ("/metrics", file("tgi_metrics.prom")),
    ])
    .await;
    assert_eq!(
        hub.kind,
        RuntimeKind::Tgi,
        "its kserve routes do not make it Triton"
    );
    assert_eq!((hub.running, hub.queue), (Some(2), Some(1)));
    assert_eq!(hub.kv_cache, Some(512.0 / 98304.0));
    assert!(hub.models[0].digest.is_some());
    assert!(hub.model("tgi").is_some(), "its own name for its model");

    let (local, _server) = find(&[
        ("/info", file("tgi_info_local_model.json")),
        ("/health", answer(503, "", "tgi_health_unhealthy_503.json")),
    ])
    .await;
    assert_eq!(ids(&local), ["/data/models/tiny-chat"]);
    assert_eq!(local.models[0].digest, None, "a folder has no revision");
    let Readiness::Unready { reason } = &local.readiness else {
        panic!("{:?}", local.readiness)
    };
    assert_eq!(reason, "/health answers 503: unhealthy");
}

#[tokio::test]
async fn trtllm_serve_with_new_and_old_metrics() {
    for (metrics, running, kv_cache) in [
        ("trtllm_prometheus_metrics.prom", Some(2), Some(0.04)),
        ("trtllm_prometheus_metrics_noprefix_legacy.prom", None, None),
    ] {
        let (found, server) = find(&[
            ("/", (404, UVICORN, "{\"detail\":\"Not Found\"}".to_owned())),
            ("/v1/models", file("trtllm_models.json")),
            ("/version", file("trtllm_version.json")),
            ("/health", answer(503, UVICORN, "trtllm_health_503.txt")),
            ("/prometheus/metrics", file(metrics)),
            // Reading these takes from somebody who waits for them.
            ("/metrics", file("trtllm_metrics.json")),
            ("/perf_metrics", file("trtllm_perf_metrics.json")),
        ])
        .await;
        assert_eq!(found.kind, RuntimeKind::TensorrtLlm);
        assert_eq!(found.kv_cache, kv_cache);
        assert_eq!(found.running.is_some(), running.is_some());
        let Readiness::Unready { reason } = &found.readiness else {
            panic!("{:?}", found.readiness)
        };
        assert!(reason.contains("LLM is unavailable"), "{reason}");
        never_drained(&server);
    }
}

fn never_drained(server: &Pages) {
    for asked in server.asked() {
        for bad in ["/metrics", "/perf_metrics", "/health_generate"] {
            assert_ne!(asked, format!("GET {bad}"));
        }
    }
}

#[tokio::test]
async fn a_closed_list_is_told_apart_by_what_each_server_alone_has() {
    for queue in [
        "trtllm_metrics.json",
        "trtllm_metrics_empty.json",
        "trtllm_metrics_trt_backend.json",
    ] {
        let (found, server) = find(&[
            ("/", (404, UVICORN, "{\"detail\":\"Not Found\"}".to_owned())),
            ("/v1/models", (403, UVICORN, "no".to_owned())),
            ("/version", file("trtllm_version.json")),
            ("/server_info", page("{\"disaggregated_params\":{}}")),
            ("/health", page("")),
            ("/metrics", file(queue)),
        ])
        .await;
        assert_eq!(found.kind, RuntimeKind::TensorrtLlm);
        assert!(found.asks_for_key);
        never_drained(&server);
    }
    // vLLM in its development mode has `/server_info` too.
    let (found, _server) = find(&[
        ("/", (404, UVICORN, "{\"detail\":\"Not Found\"}".to_owned())),
        ("/v1/models", (502, "", "bad gateway".to_owned())),
        ("/version", file("vllm_version.json")),
        ("/server_info", page("{}")),
        ("/load", file("vllm_load.json")),
        ("/health", page("")),
    ])
    .await;
    assert_eq!(found.kind, RuntimeKind::Vllm);
    // A version alone is said by many.
    let server = Pages::serve(&[
        ("/", page("hello")),
        ("/version", file("vllm_version.json")),
    ])
    .await;
    assert_eq!(discover(&only(&[server.addr])).await, []);
}

#[tokio::test]
async fn triton_and_its_frontend() {
    let pages = [
        ("/v2", file("triton_v2.json")),
        ("/v2/health/ready", (400, "", String::new())),
        ("/v2/repository/index", file("triton_repository_index.json")),
    ];
    let server = Pages::serve(&pages).await;
    let mut at = server.addr;
    at.set_port(at.port() + 2);
    let metrics = Pages::serve_at(at, &[("/metrics", file("triton_metrics.prom"))]).await;
    let found = discover(&only(&[server.addr])).await.remove(0);
    assert_eq!(found.kind, RuntimeKind::Triton);
    assert_eq!(found.version.as_deref(), Some("2.71.0"));
    assert_eq!(
        found.readiness,
        Readiness::Loading,
        "a model of it is loading"
    );
    assert_eq!(
        ids(&found),
        [
            "ensemble",
            "postprocessing",
            "preprocessing",
            "tensorrt_llm"
        ]
    );
    assert_eq!(found.models[3].loaded, Some(false));
    // One waits in Triton, one in its backend; two are scheduled.
    assert_eq!((found.running, found.queue), (Some(2), Some(2)));
    assert_eq!(found.kv_cache, Some(0.25));
    assert_eq!(metrics.asked(), ["GET /metrics"]);

    let (frontend, _server) = find(&[
        ("/v1/models", file("triton_openai_models.json")),
        ("/health/ready", page("")),
    ])
    .await;
    assert_eq!(frontend.kind, RuntimeKind::TritonOpenAi);
    assert_eq!(frontend.kind.as_str(), "tensorrt-llm");
    assert_eq!(ids(&frontend), ["tensorrt_llm_bls"]);
}

#[tokio::test]
async fn llama_cpp_serving_loading_and_closed() {
    let (found, server) = find(&[
        ("/", (404, SERVER_LLAMA, "{}".to_owned())),
        (
            "/health",
            answer(200, SERVER_LLAMA, "llamacpp-0c1e570_health.json"),
        ),
        (
            "/v1/models",
            answer(200, SERVER_LLAMA, "llamacpp-0c1e570_models.json"),
        ),
        (
            "/props",
            answer(200, SERVER_LLAMA, "llamacpp-0c1e570_props.json"),
        ),
        (
            "/slots",
            answer(200, SERVER_LLAMA, "llamacpp-0c1e570_slots.json"),
        ),
        (
            "/metrics",
            answer(200, SERVER_LLAMA, "llamacpp-0c1e570_metrics.prom"),
        ),
    ])
    .await;
    assert_eq!(found.kind, RuntimeKind::LlamaCpp);
    assert_eq!(found.version.as_deref(), Some("b1-0c1e570"));
    assert_eq!(found.models.len(), 1);
    assert!(found.models[0].size_bytes.is_some());
    assert!(found.running.is_some() && found.kv_cache.is_some());
    assert!(
        !server.asked().contains(&"GET /metrics".to_owned()),
        "a scrape resets gauges"
    );

    let loading = || answer(503, SERVER_LLAMA, "llamacpp-0c1e570_loading_503.json");
    let (found, _server) = find(&[("/", loading()), ("/health", loading())]).await;
    assert_eq!(found.readiness, Readiness::Loading);

    let closed = || {
        answer(
            401,
            SERVER_LLAMA,
            "llamacpp-0c1e570_error_unauthorized_401.json",
        )
    };
    let (found, _server) = find(&[
        ("/", closed()),
        (
            "/health",
            answer(200, SERVER_LLAMA, "llamacpp-0c1e570_health.json"),
        ),
        ("/v1/models", closed()),
        ("/props", closed()),
    ])
    .await;
    assert!(found.is_ready() && found.asks_for_key);

    // A reverse proxy has rewritten the header: who owns the model still tells.
    let (found, _server) = find(&[
        ("/", (404, "Server: nginx\r\n", String::new())),
        ("/health", file("llamacpp-0c1e570_health.json")),
        ("/v1/models", file("llamacpp-0c1e570_models.json")),
    ])
    .await;
    assert_eq!(found.kind, RuntimeKind::LlamaCpp);
}
