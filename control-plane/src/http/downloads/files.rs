//! The list of packages, and the packages.

use super::catalog::Package;
use crate::http::error::ApiError;
use crate::http::extract::Path;
use crate::http::state::HttpState;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use serde::Serialize;
use std::sync::Arc;
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

/// The packages that this control plane offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DownloadList {
    /// The newest of each kind; empty where the operator offers none.
    pub items: Vec<Package>,
}

/// The newest package of each kind; reads and sums files away from the threads that answer.
pub(super) async fn newest(state: &HttpState) -> Result<Vec<Package>, ApiError> {
    let catalog = Arc::clone(&state.downloads);
    match tokio::task::spawn_blocking(move || catalog.newest()).await {
        Ok(Ok(packages)) => Ok(packages),
        Ok(Err(error)) => Err(ApiError::internal(&error)),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

/// The packages of the agent that can be downloaded here.
///
/// # Errors
/// `internal` where the folder cannot be read.
#[utoipa::path(get, path = "/api/v1/downloads", tag = "enrolment", security(()),
    responses((status = 200, description = "The newest package of each kind.", body = DownloadList)))]
pub async fn download_list(State(state): State<HttpState>) -> Result<Json<DownloadList>, ApiError> {
    let items = newest(&state).await?;
    Ok(Json(DownloadList { items }))
}

/// One package, or `SHA256SUMS`.
///
/// # Errors
/// `not_found`.
#[utoipa::path(get, path = "/downloads/{name}", tag = "enrolment", security(()),
    params(("name" = String, Path, description = "Name of the file.")),
    responses((status = 200, description = "The file.", content(
        (Vec<u8> = "application/vnd.debian.binary-package"), (Vec<u8> = "application/x-rpm"), (Vec<u8> = "application/gzip"),
        (Vec<u8> = "application/zip"), (String = "text/plain")))))]
pub async fn download(
    State(state): State<HttpState>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let absent = || ApiError::not_found("there is no such download");
    let path = state.downloads.path(&name).ok_or_else(absent)?;
    let file = tokio::fs::File::open(&path).await.map_err(|_| absent())?;
    let facts = file
        .metadata()
        .await
        .map_err(|error| ApiError::internal(&error))?;
    if !facts.is_file() {
        return Err(absent());
    }
    let mut response = Body::from_stream(ReaderStream::new(file)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, facts.len().into());
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media_type(&name)),
    );
    // The same name may be packed anew; the checksum in the script is what counts.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "deb" => "application/vnd.debian.binary-package",
        "rpm" => "application/x-rpm",
        "gz" => "application/gzip",
        "zip" => "application/zip",
        _ => "text/plain; charset=utf-8",
    }
}
