//! The audit log: what is written of a change, who reads it, and what shows when somebody changes it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::support::{Answer, Browser, PASSWORD, SERVER, Server};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::{AuditCheck, AuditFault, audit_check};
use dgon_control_plane_model::audit_chain::Head;
use dgon_control_plane_store::retention::{Periods, RULES};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const AUDIT: &str = "/api/v1/audit";

async fn with_admin() -> (Server, Browser) {
    let server = Server::start().await;
    let admin = server.signed_in("a@example.com", &[Role::Admin]).await;
    (server, admin)
}

async fn set_flag(admin: &mut Browser, is_on: bool) {
    let path = "/api/v1/flags/public_receipts";
    let body = json!({ "enabled": is_on });
    let set = admin.request(Method::PUT, path).json(&body);
    let set = admin.send(set).await;
    assert!(set.status.is_success(), "{}", set.text);
}

/// Six rows, each a moment after the other: a user, a sign-in, and four changes.
async fn with_rows() -> (Server, Browser) {
    let (server, mut admin) = with_admin().await;
    for is_on in [true, false, true, false] {
        server.clock.advance(1_000);
        set_flag(&mut admin, is_on).await;
    }
    seal(&server).await;
    (server, admin)
}

async fn seal(server: &Server) {
    while server.state.app.audit_seal().await.expect("seal").0 {}
}

async fn check(server: &Server, noted: Option<Head>) -> AuditCheck {
    let (store, now_ms) = (&server.state.app.store, server.clock.now_ms());
    let check = audit_check(store, noted, now_ms).await;
    check.expect("check")
}

async fn faults(server: &Server, noted: Option<Head>) -> Vec<AuditFault> {
    check(server, noted).await.faults
}

async fn behind(server: &Server, statement: &'static str) {
    let done = server.state.app.store.inspect().execute(statement).await;
    done.expect("statement");
}

fn items(answer: &Answer) -> &Vec<Value> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json["items"].as_array().expect("items")
}

#[tokio::test]
async fn a_change_is_told_with_what_was_before_and_after() {
    let (_server, mut admin) = with_rows().await;
    let list = admin.get(&format!("{AUDIT}?action=flag.set")).await;
    let newest = &items(&list)[0];
    assert_eq!(items(&list).len(), 4);
    assert_eq!(newest["object"], "flag:public_receipts");
    assert_eq!(newest["before"], json!({ "enabled": true }));
    assert_eq!(newest["after"], json!({ "enabled": false }));
    assert_eq!(items(&list)[3]["before"], json!({ "enabled": false }));
    assert_eq!(newest["ip"], "127.0.0.1");
    assert!(newest["request_id"].is_string());
    assert_eq!(
        (newest["seq"].as_i64(), newest["is_erased"].as_bool()),
        (Some(6), Some(false))
    );
    assert_eq!(list.json["head"]["hash"], newest["hash"]);
    // The first user was made at the command line.
    let made = admin.get(&format!("{AUDIT}?actor=cli")).await;
    assert_eq!(items(&made)[0]["action"], "user.create");
}

#[tokio::test]
async fn people_are_named_and_found_by_their_addresses() {
    let (_server, mut admin) = with_rows().await;
    let email = admin.get("/api/v1/users/me").await.json["email"].clone();
    let email = email.as_str().expect("an address").to_uppercase();
    let all = admin.get(AUDIT).await;
    let by_them = admin.get(&format!("{AUDIT}?actor={email}")).await;
    let theirs: Vec<&Value> = items(&all)
        .iter()
        .filter(|row| {
            row["actor"]
                .as_str()
                .is_some_and(|by| by.starts_with("user:"))
        })
        .collect();
    assert!(!theirs.is_empty());
    assert_eq!(items(&by_them).iter().collect::<Vec<_>>(), theirs);
    let email = email.to_lowercase();
    assert!(theirs.iter().all(|row| row["actor_email"] == email));
    let made = admin
        .get(&format!("{AUDIT}?object={email}&action=user.create"))
        .await;
    let made = &items(&made)[0];
    assert_eq!(
        (&made["actor"], &made["actor_email"], &made["object_email"]),
        (&json!("cli"), &Value::Null, &json!(email))
    );
    let nobody = admin
        .get(&format!("{AUDIT}?actor=nobody@example.org"))
        .await;
    assert!(items(&nobody).is_empty());
}

#[tokio::test]
async fn the_log_is_paged_filtered_and_its_admins() {
    let (server, mut admin) = with_rows().await;
    let all = admin.get(AUDIT).await;
    let (mut seen, mut path) = (Vec::new(), format!("{AUDIT}?limit=4"));
    loop {
        let page = admin.get(&path).await;
        seen.extend(items(&page).clone());
        match page.json["next_cursor"].as_str() {
            Some(cursor) => path = format!("{AUDIT}?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(&seen, items(&all));
    let one = &seen[1];
    let by_request = format!(
        "{AUDIT}?request_id={}",
        one["request_id"].as_str().expect("id")
    );
    assert_eq!(
        items(&admin.get(&by_request).await),
        std::slice::from_ref(one)
    );
    let between = format!(
        "{AUDIT}?from={}&to={}",
        one["at"].as_str().expect("at"),
        seen[0]["at"].as_str().expect("at")
    );
    assert_eq!(items(&admin.get(&between).await), std::slice::from_ref(one));
    assert!(items(&admin.get(&format!("{AUDIT}?object=flag:none")).await).is_empty());
    assert_eq!(
        admin.get(&format!("{AUDIT}?cursor=x")).await.error(),
        "invalid_request"
    );

    let mut operator = server.signed_in("op@example.com", &[Role::Operator]).await;
    let mut nobody = Browser::new(&server);
    for path in [AUDIT, "/api/v1/audit.csv"] {
        assert_eq!(operator.get(path).await.error(), "forbidden");
        assert_eq!(nobody.get(path).await.error(), "unauthorized");
    }
}

#[tokio::test]
async fn sign_ins_are_told_good_and_bad_with_whose_and_where_and_not_what_was_tried() {
    let (server, mut admin) = with_admin().await;
    let user_id = server
        .user_of("main", "v@example.com", &[Role::Viewer])
        .await;
    let (whose, tried) = (format!("user:{user_id}"), "what somebody else tried");
    let mut requests = Vec::new();
    for (email, password) in [
        ("v@example.com", tried),
        ("v@example.com", PASSWORD),
        // Nobody's: strangers could fill the log with such.
        ("nobody@example.com", tried),
    ] {
        let body = json!({ "email": email, "password": password });
        let answer = Browser::new(&server).post("/api/v1/auth/login", body).await;
        requests.push(answer.header("x-request-id").to_owned());
    }
    seal(&server).await;
    let at = |answer: &Answer| answer.json["items"][0]["at"].clone();
    let path = format!("{AUDIT}?action=session.sign_in_failed");
    let failed = admin.get(&path).await;
    let [row] = items(&failed).as_slice() else {
        panic!("{}", failed.text)
    };
    assert_eq!(
        (&row["actor"], &row["object"]),
        (&json!("anonymous"), &json!(whose))
    );
    assert_eq!(
        (&row["ip"], &row["request_id"]),
        (&json!("127.0.0.1"), &json!(requests[0]))
    );
    assert_eq!(at(&failed), json!("2026-11-21T03:00:00.000Z"));
    let path = format!("{AUDIT}?action=session.sign_in&actor={whose}");
    let good = admin.get(&path).await;
    let [row] = items(&good).as_slice() else {
        panic!("{}", good.text)
    };
    assert!(
        row["object"]
            .as_str()
            .expect("text")
            .starts_with("session:s_")
    );
    assert_eq!(
        (&row["ip"], &row["request_id"]),
        (&json!("127.0.0.1"), &json!(requests[1]))
    );
    let all = server
        .state
        .app
        .store
        .inspect()
        .audit_latest(None, 50)
        .await;
    let all = format!("{:?}", all.expect("rows"));
    for secret in [tried, PASSWORD, "argon2"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|two| {
            let two = std::str::from_utf8(two).expect("digits");
            u8::from_str_radix(two, 16).expect("hex")
        })
        .collect()
}

/// Computes the chain as `audit_chain` describes it, of the file alone.
fn recompute(file: &str) -> (i64, Vec<u8>) {
    let mut lines = csv::Reader::from_reader(file.as_bytes());
    let mut rows: Vec<csv::StringRecord> = lines.records().map(|row| row.expect("a row")).collect();
    rows.reverse();
    let mut hash = vec![0; 32];
    for (at, row) in (1_i64..).zip(&rows) {
        let text = |column: usize| row[column].as_bytes();
        let mut salted = b"dgon audit facts v1\n".to_vec();
        salted.extend(bytes(&row[9]));
        salted.extend(text(8));
        let commitment = match text(8) {
            b"" => vec![0; 32],
            _ => Sha256::digest(&salted).to_vec(),
        };
        if !row[10].is_empty() {
            assert_eq!(commitment, bytes(&row[10]));
        }
        let mut of = b"dgon audit row v1\n".to_vec();
        of.extend(&hash);
        of.extend(at.to_be_bytes());
        of.extend(row[3].parse::<i64>().expect("ms").to_be_bytes());
        for column in 4..8 {
            of.extend((text(column).len() as u64).to_be_bytes());
            of.extend(text(column));
        }
        of.extend(commitment);
        hash = Sha256::digest(&of).to_vec();
        assert_eq!(
            (row[1].to_owned(), bytes(&row[11])),
            (at.to_string(), hash.clone())
        );
    }
    (rows.len() as i64, hash)
}

#[tokio::test]
async fn the_file_is_enough_to_compute_the_chain() {
    let (server, mut admin) = with_rows().await;
    let file = admin.get("/api/v1/audit.csv").await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    let (rows, hash) = recompute(&file.text);
    let head = server.state.app.audit_chain().await.expect("chain").head;
    assert_eq!((rows, hash.as_slice()), (6, head.hash.as_slice()));
    let one = admin.get("/api/v1/audit.csv?actor=cli").await;
    assert_eq!(one.text.lines().count(), 2);
}

#[tokio::test]
async fn whatever_is_changed_behind_the_program_shows() {
    let tampers: [(&str, AuditFault); 10] = [
        (
            "DELETE FROM audit WHERE seq = 3",
            AuditFault::Missing { from: 3, to: 3 },
        ),
        (
            "DELETE FROM audit WHERE seq = 6",
            AuditFault::Missing { from: 6, to: 6 },
        ),
        (
            "DELETE FROM audit WHERE seq = 1",
            AuditFault::Missing { from: 1, to: 1 },
        ),
        (
            "UPDATE audit SET actor = 'user:other' WHERE seq = 4",
            AuditFault::Changed(4),
        ),
        (
            "UPDATE audit SET facts = '{}' WHERE seq = 4",
            AuditFault::Facts(4),
        ),
        (
            "UPDATE audit SET facts = NULL, salt = NULL WHERE seq = 4",
            AuditFault::Erased(4),
        ),
        (
            "DELETE FROM audit WHERE seq <= 3; \
             UPDATE audit_chain SET removed_seq = 3, removed_hash = (SELECT hash FROM audit WHERE seq = 4)",
            AuditFault::Begins(4),
        ),
        (
            "DELETE FROM audit; UPDATE audit_chain SET removed_seq = head_seq, removed_hash = head_hash",
            AuditFault::Begins(7),
        ),
        (
            "INSERT INTO audit (at_ms, actor, action, object, seq, hash) VALUES (1, 'x', 'x.x', 'x:x', 7, zeroblob(32))",
            AuditFault::Beside(7),
        ),
        (
            "INSERT INTO audit (at_ms, actor, action, object, seq, hash) VALUES (1, 'x', 'x.x', 'x:x', 0, zeroblob(32))",
            AuditFault::Beside(0),
        ),
    ];
    for (statement, fault) in tampers {
        let (server, _) = with_rows().await;
        assert_eq!(faults(&server, None).await, []);
        behind(&server, statement).await;
        assert!(faults(&server, None).await.contains(&fault), "{statement}");
    }
}

#[tokio::test]
async fn a_log_made_anew_shows_beside_a_head_that_was_kept() {
    let (server, _) = with_rows().await;
    let kept = server.state.app.audit_chain().await.expect("chain").head;
    assert_eq!(faults(&server, Some(kept)).await, []);
    behind(
        &server,
        "UPDATE audit SET action = 'flag.other' WHERE seq = 5; UPDATE audit SET seq = NULL, hash = NULL; \
         UPDATE audit_chain SET head_seq = 0, head_hash = zeroblob(32)",
    )
    .await;
    seal(&server).await;
    assert_eq!(faults(&server, None).await, []);
    assert_eq!(faults(&server, Some(kept)).await, [AuditFault::Noted(6)]);
}

#[tokio::test]
async fn what_was_erased_without_a_word_shows() {
    let (server, _) = with_rows().await;
    behind(
        &server,
        "UPDATE audit SET facts = NULL, salt = NULL WHERE action = 'flag.set'",
    )
    .await;
    assert_eq!(faults(&server, None).await.len(), 4);
}

#[tokio::test]
async fn rows_that_nobody_chains_show() {
    let (server, _) = with_rows().await;
    let row = "INSERT INTO audit (at_ms, actor, action, object) VALUES (1, 'cli', 'link.create', 'user:u')";
    behind(&server, row).await;
    assert_eq!(faults(&server, None).await, [AuditFault::NotSealed(1)]);
    seal(&server).await;
    assert_eq!(faults(&server, None).await, []);
}

#[tokio::test]
async fn what_was_too_old_is_no_loss() {
    let (server, _) = with_rows().await;
    let (store, clock) = (&server.state.app.store, &server.clock);
    let kept = server.state.app.audit_chain().await.expect("chain").head;
    clock.advance(401 * 86_400_000);
    let rule = RULES.iter().find(|rule| rule.table == "audit");
    let periods = Periods::default();
    let expired =
        store.retention_expire(SERVER, rule.expect("a rule"), &periods, clock.now_ms(), 4);
    assert_eq!(expired.await.expect("expired").rows, 4);
    // Before the row that says so is chained, and after.
    assert_eq!(faults(&server, Some(kept)).await, []);
    seal(&server).await;
    let found = check(&server, Some(Head { seq: 2, ..kept })).await;
    assert_eq!(
        (found.faults, found.rows, found.noted_found),
        (vec![], 3, Some(false))
    );
}

#[tokio::test]
async fn a_damaged_row_hides_no_other() {
    let (server, mut admin) = with_rows().await;
    behind(&server, "UPDATE audit SET facts = 'x' WHERE seq = 4").await;
    let list = admin.get(AUDIT).await;
    let damaged = items(&list).iter().filter(|row| row["is_damaged"] == true);
    assert_eq!((items(&list).len(), damaged.count()), (6, 1));
}
