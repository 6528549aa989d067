//! A fault of the server: whoever asked is told nothing of the inside, and the log has it with the id of the request, in lines
//! that programs read.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::support::Server;
use dgon_control_plane::accounts::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

/// What servers of this test log, as `DGON_LOG_FORMAT=json` writes it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("log").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Collects until the guards go. With one subscriber alone, what a thread without it says first is off for all threads: so
    /// there is another.
    fn begin() -> (Self, (Dispatch, DefaultGuard)) {
        let other = Dispatch::new(tracing_subscriber::registry());
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        (log, (other, tracing::subscriber::set_default(subscriber)))
    }

    /// What was said at the level of errors.
    fn errors(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().expect("log").clone()).expect("text");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect(line));
        lines
            .filter(|line: &Value| line["level"] == "ERROR")
            .collect()
    }
}

#[tokio::test]
async fn a_fault_is_told_without_its_inside_and_logged_with_the_id_of_its_request() {
    let (log, _collecting) = Log::begin();
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
