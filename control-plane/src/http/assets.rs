//! The console, embedded in the binary.
//!
//! Files under `/assets/` have a hash in their name: cached for ever, and missing ones are a real 404. Every
//! other address that comes here is the console's own and gets `index.html`, which is asked for anew each time. A compressed neighbour (`.br`, `.gz`) is sent where the browser takes it.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use dgon_protocol::key::hex;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::borrow::Cow;

#[derive(RustEmbed)]
#[folder = "../web/dist"]
struct Console;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const ABSENT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>DGON</title>\
    <h1>DGON control plane</h1><p>This build has no console: web/dist was empty when it was compiled. \
    Run <code>npm --prefix web ci &amp;&amp; npm --prefix web run build</code>, then build this program again. \
    The API is at <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p></html>";

/// Serves the console at every address that is its own.
pub(super) async fn console(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let name = uri.path().trim_start_matches('/');
    if let Some(file) = Found::find(name, &headers) {
        return file.respond(&headers);
    }
    // An old page that asks for a file of an older build must not get a page. Deeper addresses are pages even with a
    // dot in them: node ids and receipt ids may have one.
    let is_file = name.starts_with("assets/") || (name.contains('.') && !name.contains('/'));
    if is_file {
        return StatusCode::NOT_FOUND.into_response();
    }
    match Found::find("index.html", &headers) {
        Some(file) => file.respond(&headers),
        None => (
            [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CACHE_CONTROL, "no-store"),
            ],
            ABSENT,
        )
            .into_response(),
    }
}

struct Found {
    name: String,
    file: EmbeddedFile,
    encoding: Option<&'static str>,
}

impl Found {
    fn find(name: &str, headers: &HeaderMap) -> Option<Self> {
        if name.is_empty() || name.ends_with(".br") || name.ends_with(".gz") {
            return None;
        }
        let plain = Console::get(name)?;
        for (encoding, suffix) in [("br", ".br"), ("gzip", ".gz")] {
            if accepts(headers, encoding)
                && let Some(file) = Console::get(&format!("{name}{suffix}"))
            {
                return Some(Self {
                    name: name.to_owned(),
                    file,
                    encoding: Some(encoding),
                });
            }
        }
        Some(Self {
            name: name.to_owned(),
            file: plain,
            encoding: None,
        })
    }

    fn respond(self, request: &HeaderMap) -> Response {
        let etag = format!("\"{}\"", &hex(&self.file.metadata.sha256_hash())[..32]);
        let cache = if self.name.starts_with("assets/") {
            IMMUTABLE
        } else {
            "no-cache"
        };
        let is_known = request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().trim_start_matches("W/") == etag || value.trim() == "*");
        let mut response = match is_known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => Response::new(match self.file.data {
                Cow::Borrowed(bytes) => Body::from(bytes),
                Cow::Owned(bytes) => Body::from(bytes),
            }),
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(header::ETAG, etag);
        }
        if !is_known {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(media_type(&self.name)),
            );
            if let Some(encoding) = self.encoding {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
        }
        response
    }
}

/// Whether the browser takes `encoding`; `q=0` is a refusal.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            parts.next() == Some(encoding)
                && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_negotiated() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("gzip, br;q=0, zstd"),
        );
        assert!(accepts(&headers, "gzip"));
        assert!(!accepts(&headers, "br"));
        assert!(!accepts(&HeaderMap::new(), "gzip"));
    }

    #[tokio::test]
    async fn files_that_do_not_exist_are_not_pages() {
        let get =
            |path: &'static str| console(Method::GET, Uri::from_static(path), HeaderMap::new());
        assert_eq!(
            get("/assets/gone-abc.js").await.status(),
            StatusCode::NOT_FOUND
        );
        assert_eq!(
            get("/favicon.nothing").await.status(),
            StatusCode::NOT_FOUND
        );
        assert_eq!(get("/nodes").await.status(), StatusCode::OK);
        assert_eq!(get("/nodes/rack.7").await.status(), StatusCode::OK);
        let post = console(Method::POST, Uri::from_static("/nodes"), HeaderMap::new()).await;
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
