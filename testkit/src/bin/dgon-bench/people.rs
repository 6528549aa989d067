//! People who are signed in to a control plane.

use crate::programs::Place;
use anyhow::{Context as _, Result};
use serde_json::json;

/// Makes a user with this role and signs in by the link; the cookies.
pub(crate) async fn sign_in(place: &Place, email: &str, role: &str) -> Result<String> {
    let origin = format!("http://{}", place.api);
    let made = place.output(
        "dgon-control-plane",
        &["user", "create", "--email", email, "--role", role],
        &[],
    )?;
    let token = made.split_once("#token=").context("a link was printed")?.1;
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(format!("{origin}/api/v1/auth/redeem"))
        .header("origin", &origin)
        .header("content-type", "application/json")
        .body(json!({ "token": token.trim() }).to_string());
    let answer = answer.send().await?.error_for_status()?;
    let cookies = answer.headers().get_all("set-cookie").iter();
    let cookies: Vec<&str> = cookies
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .collect();
    Ok(cookies.join("; "))
}
