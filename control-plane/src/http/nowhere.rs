//! Addresses that no route took: who lives there answers, in the shape that its callers read.
//!
//! | under | answer |
//! |---|---|
//! | `/api`, `/log` | 404 in our error shape |
//! | `/v1` | 404 in OpenAI's error shape: whoever calls is a client of that API |
//! | everything else | the console |

use super::assets;
use super::error::ApiError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Serialize;

/// The body of an error as clients of OpenAI's API read it.
#[derive(Debug, Serialize)]
struct OpenAiBody {
    error: OpenAiError,
}

#[derive(Debug, Serialize)]
struct OpenAiError {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

fn is_under(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether programs call here, and nobody expects a page.
pub(super) fn is_programs(path: &str) -> bool {
    ["/api", "/v1", "/log"]
        .iter()
        .any(|root| is_under(path, root))
}

/// The answer at every address that no route took.
pub(super) async fn answer(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if is_under(path, "/v1") {
        return no_gateway(&method, path);
    }
    if is_programs(path) {
        return ApiError::not_found("there is nothing at this address").into_response();
    }
    assets::console(method, uri, headers).await
}

fn no_gateway(method: &Method, path: &str) -> Response {
    let error = OpenAiError {
        message: format!(
            "There is nothing at {method} {path}. This control plane takes no requests for models: send them to the \
             proxy of an agent, http://127.0.0.1:11435/v1 on its machine."
        ),
        kind: "invalid_request_error",
        param: None,
        code: Some("unknown_url"),
    };
    (StatusCode::NOT_FOUND, Json(OpenAiBody { error })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_end_at_a_slash() {
        for path in [
            "/api",
            "/api/v1/x",
            "/v1",
            "/v1/models",
            "/log/",
            "/log/checkpoint",
        ] {
            assert!(is_programs(path), "{path}");
        }
        for path in [
            "/",
            "/nodes",
            "/v10",
            "/v1x/models",
            "/logs",
            "/login",
            "/apis",
        ] {
            assert!(!is_programs(path), "{path}");
        }
    }
}
