//! Packages of the agent for machines that join: the list, the files, and the script that installs them.
//!
//! The files lie in the folder that `downloads_dir` names. Only names that are those of our packages are served, so
//! no request can reach another file. The script carries the checksums of the files, so whoever got the script over
//! a channel that can be trusted needs not trust where the files come from.

mod catalog;
pub mod files;
pub mod script;

pub use catalog::{Catalog, Package};
pub use files::DownloadList;

use files::{download, download_list};
use script::install_script;

use super::state::HttpState;
use axum::Router;
use axum::routing::get;

/// The routes.
pub(super) fn routes() -> Router<HttpState> {
    Router::new()
        .route("/api/v1/downloads", get(download_list))
        .route("/downloads/{name}", get(download))
        .route("/install.sh", get(install_script))
}
