//! Prometheus metrics. Counters and durations are measured where things happen, with the `metrics` macros;
//! gauges of the network are read when somebody scrapes.

use super::state::HttpState;
use crate::app::views::Summary;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use metrics::{describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

const HTTP: &str = "api_http_request_duration_seconds";
const DB: &str = "db_query_duration_seconds";
const RETENTION: &str = "retention_held_seconds";
const ACTIVE_NODES: &str = "summary_active_nodes";
const MODELS_CACHED: &str = "summary_models_cached";
const REQUESTS_24H: &str = "summary_requests_24h";

const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
/// Held by who installs it: of two servers that start at once in one process, the second waits and finds it.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Starts recording, once per process; any number of callers may come at any time.
///
/// # Errors
/// [`BuildError`] when a recorder runs already that is not of this function.
pub fn install() -> Result<(), BuildError> {
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if RECORDER.get().is_some() {
        return Ok(());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(BuildError::FailedToSetGlobalRecorder)?;
    // Nobody else can have set it: the lock is held.
    let _ = RECORDER.set(handle);
    describe_histogram!(
        HTTP,
        "Time to answer an HTTP request, by route and status code."
    );
    describe_histogram!(DB, "Time of a database operation.");
    describe_histogram!(
        RETENTION,
        "How long deleting a few old rows held up other writers, by table."
    );
    describe_gauge!(ACTIVE_NODES, "Nodes that serve.");
    describe_gauge!(MODELS_CACHED, "Different models on active nodes.");
    describe_gauge!(REQUESTS_24H, "Receipts of the last 24 hours.");
    Ok(())
}

/// Notes an answered request.
pub(super) fn observe_http(route: &str, code: u16, elapsed: Duration) {
    histogram!(HTTP, "route" => route.to_owned(), "code" => code.to_string())
        .record(elapsed.as_secs_f64());
}

/// Folds measurements together, so that memory does not grow between scrapes.
pub fn upkeep() {
    if let Some(handle) = RECORDER.get() {
        handle.run_upkeep();
    }
}

/// All metrics, in the text form of Prometheus. The figures of the network are those of the last minute at most, else `NaN`.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "Prometheus text.", body = String, content_type = "text/plain")))]
pub async fn metrics_text(State(state): State<HttpState>) -> Response {
    let summary = state.app.summary_soon().await;
    let figure = |of: fn(&Summary) -> i64| {
        summary
            .as_deref()
            .map_or(f64::NAN, |known| of(known) as f64)
    };
    gauge!(ACTIVE_NODES).set(figure(|known| known.active_nodes));
    gauge!(MODELS_CACHED).set(figure(|known| known.models_cached));
    gauge!(REQUESTS_24H).set(figure(|known| known.requests_24h));
    let text = RECORDER
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default();
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a helper that fails fails its test")]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn servers_that_start_at_once_share_one_recorder() {
        const SERVERS: usize = 16;
        let together = Barrier::new(SERVERS);
        std::thread::scope(|scope| {
            let started: Vec<_> = (0..SERVERS)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        install()
                    })
                })
                .collect();
            for one in started {
                one.join().expect("no panic").expect("installed");
            }
        });
        assert!(RECORDER.get().is_some());
    }
}
