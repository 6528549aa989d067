//! The script that installs the agent: `packaging/install.sh` with this control plane's address and the checksums of
//! its packages.

use super::catalog::Package;
use super::files;
use crate::http::admin::agent_yaml::address;
use crate::http::error::ApiError;
use crate::http::state::HttpState;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};

const TEMPLATE: &str = include_str!("../../../../packaging/install.sh");

/// The installer: `curl -fsSL ADDRESS/install.sh | sh`. Where no packages are offered, the script says so and fails.
///
/// # Errors
/// `invalid_request` where the server's address is not known.
#[utoipa::path(get, path = "/install.sh", tag = "enrolment", security(()),
    responses((status = 200, description = "A script for sh.", body = String,
        content_type = "text/x-shellscript")))]
pub async fn install_script(
    State(state): State<HttpState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let origin = address(&state, &headers)?;
    // An answer that is no script would be run as one that does nothing; one that fails says what is wrong.
    let packages = files::newest(&state).await.unwrap_or_default();
    let answer = [
        (header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((answer, render(&origin, &packages)?).into_response())
}

/// Both texts stand between single quotes in the script, and consist of characters that mean nothing there.
fn render(origin: &str, packages: &[Package]) -> Result<String, ApiError> {
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b))
    };
    if !plain(origin) {
        return Err(ApiError::invalid(
            "public_url holds characters that cannot stand in a script",
        ));
    }
    let lines: Vec<String> = packages
        .iter()
        .map(|one| format!("{} {} {} {}", one.kind, one.sha256, one.bytes, one.name))
        .collect();
    Ok(TEMPLATE
        .replace("@ORIGIN@", origin)
        .replace("@FILES@", &lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_holds_address_and_sums_and_nothing_that_a_shell_would_run() {
        let package = Package {
            name: "dgon-agent_1.2.3_amd64.deb".to_owned(),
            kind: "_amd64.deb".to_owned(),
            version: "1.2.3".to_owned(),
            bytes: 7,
            sha256: "00ff".to_owned(),
        };
        let script = render("https://dgon.example:8443", &[package]).expect("script");
        assert!(script.contains("origin='https://dgon.example:8443'\n"));
        assert!(script.contains("files='_amd64.deb 00ff 7 dgon-agent_1.2.3_amd64.deb'\n"));
        assert!(script.ends_with("\nmain \"$@\"\n"));
        assert!(render("http://x'; rm -rf /; '", &[]).is_err());
        assert!(render("http://$(reboot)", &[]).is_err());
    }
}
