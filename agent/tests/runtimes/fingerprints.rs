//! Each kind of runtime is told apart by what it surely says, and nothing else is taken for one.

use super::support::*;
use dgon_agent::runtime::{FoundRuntime, Readiness, RuntimeKind, discover};
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};

async fn find(pages: &[(&'static str, Page)]) -> (Option<FoundRuntime>, Pages) {
    let server = Pages::serve(pages).await;
    let mut found = discover(&only(&[server.addr])).await;
    (found.pop(), server)
}

const DIGEST: &str = "9f4c1d2ab5e60718293a4b5c6d7e8f90112233445566778899aabbccddeeff00";

#[tokio::test]
async fn every_simulated_runtime_is_recognised() {
    for kind in Kind::ALL {
        let config = SimConfig::new(kind);
        let model = config.model().to_owned();
        let sim = SimRuntime::start(config).await.unwrap();
        let found = discover(&only(&[sim.addr()])).await;
        assert_eq!(found.len(), 1, "{kind}");
        assert_eq!(found[0].kind.as_str(), kind.in_receipts());
        // Load is told by all but Ollama; llama.cpp tells no queue without its metrics.
        let is_told = kind != Kind::Ollama;
        assert_eq!(found[0].running, is_told.then_some(0), "{kind}");
        assert_eq!(found[0].kv_cache, is_told.then_some(0.0), "{kind}");
        let queue = is_told && kind != Kind::LlamaCpp;
        assert_eq!(found[0].queue, queue.then_some(0), "{kind}");
        assert!(found[0].is_ready(), "{kind}");
        assert!(found[0].version.is_some(), "{kind}");
        assert!(
            found[0].model(&model).is_some(),
            "{kind}: {:?}",
            found[0].models
        );
        assert_eq!(
            sim.stats().requests,
            0,
            "{kind}: detection must not generate"
        );
    }
}

#[tokio::test]
async fn ollama_tells_digests_and_what_is_loaded_but_not_what_runs_elsewhere() {
    let tags = format!(
        r#"{{"models":[
            {{"name":"tiny-test:latest","size":815319791,"digest":"{DIGEST}"}},
            {{"name":"on-disk:1b","size":5,"digest":"broken"}},
            {{"name":"big:cloud","size":1,"digest":"{DIGEST}","remote_model":"big","remote_host":"https://elsewhere"}},
            {{"name":"mine:latest","size":1,"digest":"{DIGEST}","remote_host":"https://elsewhere"}}]}}"#
    );
    let (found, _server) = find(&[
        ("/", page("Ollama is running")),
        ("/api/version", page(r#"{"version":"0.32.15"}"#)),
        ("/api/tags", page(&tags)),
        (
            "/api/ps",
            page(r#"{"models":[{"name":"tiny-test:latest","digest":"x"}]}"#),
        ),
    ])
    .await;
    let found = found.unwrap();
    assert_eq!(found.kind, RuntimeKind::Ollama);
    assert_eq!(found.version.as_deref(), Some("0.32.15"));
    assert_eq!(found.models.len(), 2);
    assert_eq!(found.models[0].digest, Some(format!("sha256:{DIGEST}")));
    assert_eq!(found.models[0].loaded, Some(true));
    assert_eq!(found.models[1].digest, None);
    assert_eq!(found.models[1].loaded, Some(false));
    assert!(found.model("tiny-test").is_some());
    assert_eq!(found.remote_models, ["big:cloud", "mine:latest"]);
    assert!(found.is_remote("mine") && found.is_remote("other:cloud"));
    assert!(!found.is_remote("tiny-test"));
}

#[tokio::test]
async fn ollama_behind_a_gateway_that_names_itself_is_ollama() {
    let by_nginx = |body: &str| (200, "Server: nginx/1.27\r\n", body.to_owned());
    let pages = [
        ("/", by_nginx("Ollama is running")),
        ("/api/version", by_nginx(r#"{"version":"0.32.15"}"#)),
        ("/api/tags", by_nginx(r#"{"models":[{"name":"a:1b"}]}"#)),
        ("/api/ps", by_nginx(r#"{"models":[]}"#)),
    ];
    let (found, _server) = find(&pages).await;
    let found = found.unwrap();
    assert_eq!(found.kind, RuntimeKind::Ollama);
    assert!(found.model("a:1b").is_some());
    // The same lists behind a page of another program are an imitation.
    let mut imitation = pages;
    imitation[0] = ("/", by_nginx("welcome"));
    let (found, _server) = find(&imitation).await;
    assert!(found.is_none_or(|found| found.kind != RuntimeKind::Ollama));
}

#[tokio::test]
async fn an_old_llama_server_that_imitates_ollama_is_not_ollama() {
    let models = r#"{"models":[{"name":"m","digest":""}],"object":"list","data":[{"id":"m","owned_by":"llamacpp"}]}"#;
    let (found, _server) = find(&[
        ("/", page("<html>ui</html>")),
        ("/api/tags", page(models)),
        ("/v1/models", page(models)),
        ("/health", page(r#"{"status":"ok"}"#)),
    ])
    .await;
    assert_eq!(found.unwrap().kind, RuntimeKind::LlamaCpp);
}

#[tokio::test]
async fn llama_cpp_is_known_while_it_loads_and_behind_a_key() {
    let loading = || {
        (
            503,
            "Server: llama.cpp\r\n",
            r#"{"error":{"message":"Loading model"}}"#.to_owned(),
        )
    };
    let (found, _server) = find(&[
        ("/", loading()),
        ("/health", loading()),
        ("/v1/models", loading()),
    ])
    .await;
    let found = found.unwrap();
    assert_eq!(
        (found.kind, found.readiness),
        (RuntimeKind::LlamaCpp, Readiness::Loading)
    );

    let closed = || (401, "Server: llama.cpp\r\n", "{}".to_owned());
    let (found, server) = find(&[
        ("/", closed()),
        (
            "/health",
            (
                200,
                "Server: llama.cpp\r\n",
                r#"{"status":"ok"}"#.to_owned(),
            ),
        ),
        ("/v1/models", closed()),
    ])
    .await;
    assert!(found.unwrap().is_ready());
    let asked = server.asked();
    assert!(
        !asked.iter().any(|path| path.contains("/metrics")),
        "a scrape resets gauges"
    );
}

#[tokio::test]
async fn vllm_is_known_by_its_owner_or_behind_a_key_by_its_load() {
    let models = r#"{"object":"list","data":[{"id":"acme/tiny","owned_by":"vllm"},{"id":"sql","owned_by":"vllm"}]}"#;
    let metrics = "vllm:num_requests_running{engine=\"0\"} 2.0\nvllm:num_requests_waiting{engine=\"0\"} 3.0\n";
    let (found, _server) = find(&[
        ("/v1/models", page(models)),
        ("/health", page("")),
        ("/version", page(r#"{"version":"0.33.0"}"#)),
        ("/metrics", page(metrics)),
    ])
    .await;
    let found = found.unwrap();
    assert_eq!(found.kind, RuntimeKind::Vllm);
    assert_eq!((found.running, found.queue), (Some(2), Some(3)));
    assert_eq!(found.models.len(), 2);

    let (found, _server) = find(&[
        (
            "/v1/models",
            (401, "", r#"{"error":"Unauthorized"}"#.to_owned()),
        ),
        ("/load", page(r#"{"server_load":0}"#)),
        ("/health", (503, "", String::new())),
    ])
    .await;
    let found = found.unwrap();
    assert_eq!(found.kind, RuntimeKind::Vllm);
    assert!(!found.is_ready());
}

#[tokio::test]
async fn tgi_tells_a_revision_that_becomes_a_digest() {
    let info = r#"{"model_id":"acme/tiny-chat","model_sha":"e985a63cdc139290c5f700ff1929f0b5942cced2","router":"text-generation-router","version":"3.3.6"}"#;
    let (found, _server) = find(&[
        ("/info", page(info)),
        ("/health", page("")),
        (
            "/v1/models",
            page(r#"{"data":[{"id":"acme/tiny-chat","owned_by":"acme/tiny-chat"}]}"#),
        ),
        (
            "/metrics",
            page("tgi_queue_size 4\ntgi_batch_current_size 1\n"),
        ),
    ])
    .await;
    let found = found.unwrap();
    assert_eq!(found.kind, RuntimeKind::Tgi);
    assert_eq!(found.queue, Some(4));
    assert!(
        found.models[0]
            .digest
            .as_ref()
            .unwrap()
            .starts_with("sha256:")
    );
}

#[tokio::test]
async fn trtllm_is_asked_nothing_that_generates_or_drains() {
    let (found, server) = find(&[
        (
            "/v1/models",
            page(r#"{"data":[{"id":"tiny","owned_by":"tensorrt_llm"}]}"#),
        ),
        ("/health", page("")),
        ("/version", page(r#"{"version":"1.2.1"}"#)),
    ])
    .await;
    assert_eq!(found.unwrap().kind, RuntimeKind::TensorrtLlm);
    for asked in server.asked() {
        assert!(asked.starts_with("GET "), "{asked}");
        for bad in ["/metrics", "/perf_metrics", "/health_generate"] {
            assert_ne!(asked, format!("GET {bad}"));
        }
    }
}

#[tokio::test]
async fn triton_lists_what_its_repository_holds() {
    let index = r#"[{"name":"ensemble","state":"READY"},{"name":"big","state":"LOADING"},{"name":"old","state":"UNAVAILABLE"}]"#;
    let (found, _server) = find(&[
        ("/v2", page(r#"{"name":"triton","version":"2.71.0"}"#)),
        ("/v2/health/ready", (400, "", String::new())),
        ("/v2/repository/index", page(index)),
    ])
    .await;
    let found = found.unwrap();
    assert_eq!(
        (found.kind, found.kind.as_str()),
        (RuntimeKind::Triton, "tensorrt-llm")
    );
    assert!(!found.is_ready());
    let ids: Vec<_> = found.models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, ["ensemble", "big"]);
}

#[tokio::test]
async fn others_are_openai_compatible_and_we_are_no_runtime() {
    let list = || page(r#"{"object":"list","data":[{"id":"m","owned_by":"me"}]}"#);
    let (found, _server) = find(&[("/v1/models", list())]).await;
    assert_eq!(found.unwrap().kind, RuntimeKind::OpenAiCompatible);

    for pages in [
        // A control plane, with and without a list of models, with an answer for every path.
        vec![
            ("/", page("<!doctype html>")),
            ("/v1/models", page("<!doctype html>")),
        ],
        vec![
            ("/v1/models", list()),
            ("/api/v1/auth/state", page(r#"{"setup_needed":false}"#)),
        ],
        vec![(
            "/v1/models",
            page(r#"{"data":[{"id":"m","owned_by":"dgon"}]}"#),
        )],
        // The agent's proxy, and anything else of ours.
        vec![
            ("/", (404, "Server: dgon-agent\r\n", String::new())),
            ("/v1/models", list()),
        ],
        vec![(
            "/v1/models",
            (200, "Server: dgon-control-plane\r\n", list().2),
        )],
        // A web server, an empty list, garbage.
        vec![("/", page("It works!"))],
        vec![("/v1/models", page(r#"{"data":[]}"#))],
        vec![("/v1/models", page("{"))],
        vec![("/health", page(r#"{"status":"ok"}"#))],
    ] {
        let what = format!("{pages:?}");
        let (found, _server) = find(&pages).await;
        assert_eq!(found, None, "{what}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let endless = "x".repeat(3 << 20);
    let (found, _server) = find(&[("/", page("hello")), ("/v1/models", page(&endless))]).await;
    assert_eq!(found, None);
}
