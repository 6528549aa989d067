//! A fault of the server: whoever asked is told nothing of the inside, and the log has it with the id of the request, in lines
//! that programs read.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::support::Server;
use dgon_control_plane::accounts::Role;
use dgon_testkit::log_lines::LogLines;
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_fault_is_told_without_its_inside_and_logged_with_the_id_of_its_request() {
    let (log, _collecting) = LogLines::begin();
    let server = Server::start().await;
    let mut admin = server.signed_in("a@example.com", &[Role::Admin]).await;
    let on = json!({ "enabled": true });
    let set = admin.put("/api/v1/flags/enable_private_pools", on).await;
    assert!(set.status.is_success(), "{}", set.text);
    let gone = "ALTER TABLE pools RENAME TO elsewhere";
    let inspect = server.state.app.store.inspect();
    inspect.execute(gone).await.expect("renamed");
    assert_eq!(log.errors(), [Value::Null; 0]);
    let answer = admin.get("/api/v1/pools").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    let request_id = answer.header("x-request-id");
    let told = json!({ "error": {
        "type": "internal",
        "message": "the server failed; its log has the cause under this request id",
        "request_id": request_id,
        "details": {},
    } });
    assert_eq!(answer.json, told);
    let errors = log.errors();
    let [error] = errors.as_slice() else {
        panic!("{errors:?}")
    };
    assert_eq!(error["span"]["request_id"], request_id, "{error}");
    let cause = error["fields"]["error"].as_str().expect("a cause");
    assert!(cause.contains("no such table"), "{cause}");
    assert!(error["timestamp"].as_str().expect("text").ends_with('Z'));
    // Others are served.
    let other = admin.get("/api/v1/orgs").await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.text);
}
