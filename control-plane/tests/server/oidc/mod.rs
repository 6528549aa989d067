//! Signing in by an issuer of OpenID Connect: for this browser, once, in time, and only with an account that is linked.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

mod hostile;
mod issuer;
mod keys;
mod one_browser;
mod second_factor;

use crate::support::{Answer, Browser, NOW_MS, Server, client};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane::http::HttpSettings;
use dgon_control_plane::oidc::OidcSettings;
use dgon_control_plane_model::identity::SiteUri;
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::audit::{AuditEntry, AuditFacts};
use dgon_control_plane_store::identities::{Identity, IdentityLinked};
use issuer::{CLIENT, TOKEN, TestIssuer, query};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const ME: &str = "/api/v1/users/me";
const IDENTITIES: &str = "/api/v1/identities";
const COOKIE: &str = "dgon_oidc";
const MINUTE: i64 = 60_000;

/// A server that knows two issuers, `one` and `two`.
struct World {
    server: Server,
    one: TestIssuer,
    two: TestIssuer,
}

impl World {
    async fn start() -> Self {
        Self::start_within(Duration::from_secs(5)).await
    }

    /// With issuers that have so long to answer.
    async fn start_within(within: Duration) -> Self {
        // Of what is tried and fails here, most fails on purpose.
        Self::start_as(None, 10_000, within).await
    }

    async fn start_with(public_url: Option<&str>, sign_ins_per_minute: u32) -> Self {
        Self::start_as(public_url, sign_ins_per_minute, Duration::from_secs(5)).await
    }

    async fn start_as(
        public_url: Option<&str>,
        sign_ins_per_minute: u32,
        within: Duration,
    ) -> Self {
        let clock = Clock::manual(NOW_MS);
        let (one, two) = (
            TestIssuer::start(&clock).await,
            TestIssuer::start(&clock).await,
        );
        let oidc = OidcSettings {
            site: SiteUri::parse("https://console.example").ok(),
            issuers: vec![one.settings("one"), two.settings("two")],
            within,
        };
        let settings = Settings {
            public_url: public_url.map(str::to_owned),
            oidc: Arc::new(oidc),
            ..Settings::default()
        };
        let http = HttpSettings {
            sign_ins_per_minute,
            ..HttpSettings::default()
        };
        let server = Server::start_at(settings, http, clock).await;
        Self { server, one, two }
    }

    async fn person(&self, email: &str) -> Browser {
        self.server.signed_in(email, &[Role::Viewer]).await
    }

    fn stranger(&self) -> Browser {
        Browser::new(&self.server)
    }

    /// How many rows there are of sign-ins that were used.
    async fn spent(&self) -> usize {
        let inspect = self.server.state.app.store.inspect();
        let rows = inspect.texts("SELECT CAST(expires_at_ms AS TEXT) FROM spent_nonces");
        rows.await.expect("rows").len()
    }

    /// Actor, object and facts of what was done so.
    async fn audited(&self, action: &str) -> Vec<(String, String, AuditFacts)> {
        let store = &self.server.state.app.store;
        let trail = store.inspect().audit_latest(None, 50).await.expect("audit");
        let rows = trail.into_iter().filter(|row| row.action == action);
        let told = rows.map(|row| {
            let facts = row.read_facts().expect("facts").unwrap_or_default();
            (row.actor, row.object, facts)
        });
        told.collect()
    }
}

async fn start(browser: &mut Browser, issuer: &str, purpose: &str) -> Answer {
    let path = format!("/api/v1/auth/oidc/{issuer}/start");
    browser.post(&path, json!({ "purpose": purpose })).await
}

/// Goes to the issuer `one` and is let in as `subject`: with what the browser is sent back.
async fn away(world: &World, browser: &mut Browser, purpose: &str, subject: &str) -> String {
    let started = start(browser, "one", purpose).await;
    assert_eq!(started.status, StatusCode::OK, "{}", started.text);
    let url = started.json["url"].as_str().expect("an address");
    world.one.lets_in(url, subject)
}

/// Comes back; where the server sends the browser on.
async fn back(browser: &mut Browser, query: &str) -> String {
    came_back(browser, "one", query)
        .await
        .header("location")
        .to_owned()
}

async fn came_back(browser: &mut Browser, issuer: &str, query: &str) -> Answer {
    let path = format!("/api/v1/auth/oidc/{issuer}/callback?{query}");
    let answer = browser.get(&path).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    answer
}

async fn link(world: &World, browser: &mut Browser, subject: &str) -> String {
    let query = away(world, browser, "link", subject).await;
    back(browser, &query).await
}

async fn sign_in(world: &World, browser: &mut Browser, subject: &str) -> String {
    let query = away(world, browser, "sign_in", subject).await;
    back(browser, &query).await
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get(ME).await.status == StatusCode::OK
}

async fn subjects(browser: &mut Browser) -> Vec<String> {
    let listed = browser.get(IDENTITIES).await;
    let items = listed.json["items"].as_array().expect("items").iter();
    let subjects = items.map(|item| item["subject"].as_str().expect("text").to_owned());
    subjects.collect()
}

#[tokio::test]
async fn an_account_at_an_issuer_signs_in_once_it_is_linked() {
    let world = World::start().await;
    let mut browser = world.person("anna@example.com").await;
    // Also where it says the address of somebody who is known here.
    let unlinked = sign_in(&world, &mut world.stranger(), "anna").await;
    assert_eq!(unlinked, "/sign-in?problem=unlinked");
    assert_eq!(world.spent().await, 0, "a stranger writes nothing");
    assert_eq!(
        link(&world, &mut browser, "anna").await,
        "/account?linked=one"
    );
    assert_eq!(
        link(&world, &mut browser, "anna").await,
        "/account?linked=one"
    );
    let listed = browser.get(IDENTITIES).await;
    let items = listed.json["items"].as_array().expect("items");
    assert_eq!(items.len(), 1, "{}", listed.text);
    for (field, value) in [
        ("issuer", json!(world.one.url)),
        ("issuer_name", json!("Issuer one")),
        ("subject", json!("anna")),
        ("email", json!("anna@example.com")),
    ] {
        assert_eq!(items[0][field], value, "{field}");
    }
    let mut another = world.stranger();
    assert_eq!(sign_in(&world, &mut another, "anna").await, "/");
    let me = another.get(ME).await;
    assert_eq!(me.json["email"], "anna@example.com");
    let sessions = another.get("/api/v1/sessions").await;
    let mut sessions = sessions.json["items"].as_array().expect("items").iter();
    let own = sessions.find(|one| one["is_current"] == true);
    assert_eq!(own.expect("its own")["method"], "oidc");
    let whose = format!("user:{}", me.json["user_id"].as_str().expect("id"));
    let linked = world.audited("oidc.link").await;
    assert_eq!(linked.len(), 1);
    assert_eq!((&linked[0].0, &linked[0].1), (&whose, &whose));
    let what = json!({ "issuer": world.one.url, "subject": "anna" });
    assert_eq!(linked[0].2.after.as_ref(), Some(&what));
    let began = world.audited("session.oidc").await;
    assert_eq!(began.len(), 1);
    assert_eq!(began[0].0, whose);
    // The same name at another issuer is another account.
    let started = start(&mut world.stranger(), "two", "sign_in").await;
    assert_eq!(started.status, StatusCode::OK, "{}", started.text);
    let mut elsewhere = world.stranger();
    let started = start(&mut elsewhere, "two", "sign_in").await;
    let url = started.json["url"].as_str().expect("an address");
    let query = world.two.lets_in(url, "anna");
    let answer = came_back(&mut elsewhere, "two", &query).await;
    assert_eq!(answer.header("location"), "/sign-in?problem=unlinked");
}

#[tokio::test]
async fn issuers_are_offered_and_asked_as_the_standard_has_it() {
    let world = World::start_with(Some("https://console.example"), 10).await;
    let mut browser = world.stranger();
    let state = browser.get("/api/v1/auth/state").await;
    let offered =
        json!([{ "id": "one", "name": "Issuer one" }, { "id": "two", "name": "Issuer two" }]);
    assert_eq!(state.json["issuers"], offered);
    assert_eq!(
        world.one.asked(issuer::DISCOVERY),
        0,
        "nothing is fetched before it is needed"
    );
    let started = start(&mut browser, "one", "sign_in").await;
    let url = started.json["url"].as_str().expect("an address");
    assert!(
        url.starts_with(&format!("{}/authorize?from=tests&", world.one.url)),
        "{url}"
    );
    let asked = query(url);
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
        (
            "redirect_uri",
            "https://console.example/api/v1/auth/oidc/one/callback",
        ),
    ] {
        assert_eq!(asked[name], value);
    }
    let again = start(&mut browser.clone(), "one", "sign_in").await;
    let again = query(again.json["url"].as_str().expect("an address"));
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(asked[name].len(), 43, "{name}");
        assert_ne!(asked[name], again[name], "{name}");
    }
    let cookie = started.header("set-cookie");
    assert!(cookie.starts_with("__Host-dgon_oidc="), "{cookie}");
    let end = "; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure";
    assert!(cookie.ends_with(end), "{cookie}");
    // The host that a request names is its sender's to choose.
    let path = "/api/v1/auth/oidc/one/start";
    let request = browser.request(reqwest::Method::POST, path);
    let request = request.json(&json!({ "purpose": "sign_in" }));
    let sent = browser
        .send(request.header("x-forwarded-host", "evil.example"))
        .await;
    assert!(!sent.text.contains("evil.example"), "{}", sent.text);
    // Another site has nobody sent away, and nobody is sent to what is no issuer.
    let foreign = client().post(format!("{}{path}", world.server.base));
    let foreign = foreign.json(&json!({ "purpose": "sign_in" }));
    let foreign = foreign.header("sec-fetch-site", "cross-site");
    let foreign = browser.send(foreign).await;
    assert_eq!(foreign.error(), "invalid_csrf", "{}", foreign.text);
    assert_eq!(
        start(&mut browser, "three", "sign_in").await.error(),
        "not_found"
    );
    assert_eq!(
        start(&mut browser, "one", "link").await.error(),
        "unauthorized"
    );
}

#[tokio::test]
async fn an_answer_is_good_once_in_time_and_in_the_browser_that_asked() {
    let world = World::start().await;
    let mut owner = world.person("anna@example.com").await;
    link(&world, &mut owner, "anna").await;
    let asked = world.one.asked(TOKEN);
    let spent = "/sign-in?problem=spent";
    // Without the cookie, with another one, with another state, at the address of another issuer, or said twice.
    let mut browser = world.stranger();
    let query = away(&world, &mut browser, "sign_in", "anna").await;
    let mut other = world.stranger();
    away(&world, &mut other, "sign_in", "mallory").await;
    for browser in [&mut world.stranger(), &mut other] {
        assert_eq!(back(browser, &query).await, spent);
        assert!(!is_signed_in(browser).await);
    }
    let forged = query.replace("state=", "state=x");
    let twice = format!("{query}&state=x");
    let stateless = query.replace("state=", "sate=");
    for query in [forged.as_str(), &twice, &stateless, "", "%ff=%ff"] {
        assert_eq!(back(&mut browser, query).await, spent, "{query}");
    }
    let elsewhere = came_back(&mut browser, "two", &query).await;
    assert_eq!(elsewhere.header("location"), spent);
    // A cookie that this server did not seal.
    let sealed = browser.cookies.iter().find(|(name, _)| name == COOKIE);
    let sealed = sealed.expect("the request").1.clone();
    let middle = sealed.len() / 2;
    let letter = if sealed[middle..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    for forged in [
        format!("{}{letter}{}", &sealed[..middle], &sealed[middle + 1..]),
        sealed[..middle].to_owned(),
        format!("{sealed}AAAA"),
        "x".repeat(3_500),
        ".".into(),
    ] {
        let mut forger = world.stranger();
        forger.cookies.push((COOKIE.to_owned(), forged));
        assert_eq!(back(&mut forger, &query).await, spent);
    }
    assert_eq!(
        world.one.asked(TOKEN),
        asked,
        "an issuer was asked for a stranger"
    );
    // None of that took anything from the sign-in that goes on.
    let mut copied = browser.clone();
    assert_eq!(back(&mut browser, &query).await, "/");
    assert!(is_signed_in(&mut browser).await);
    assert!(browser.cookies.iter().all(|(name, _)| name != COOKIE));
    assert_eq!(back(&mut copied, &query).await, spent);
    assert!(!is_signed_in(&mut copied).await);

    let mut late = world.stranger();
    let query = away(&world, &mut late, "sign_in", "anna").await;
    world.server.clock.advance(10 * MINUTE);
    assert_eq!(back(&mut late, &query).await, spent);
}

#[tokio::test]
async fn of_many_at_once_with_one_answer_of_an_issuer_one_signs_in() {
    let world = World::start().await;
    let mut owner = world.person("anna@example.com").await;
    link(&world, &mut owner, "anna").await;
    let mut browser = world.stranger();
    let query = away(&world, &mut browser, "sign_in", "anna").await;
    let tries = (0..8).map(|_| {
        let (mut browser, query) = (browser.clone(), query.clone());
        tokio::spawn(async move { back(&mut browser, &query).await })
    });
    let mut signed_in = 0;
    for tried in tries.collect::<Vec<_>>() {
        signed_in += u32::from(tried.await.expect("an answer") == "/");
    }
    assert_eq!(signed_in, 1);
}

#[tokio::test]
async fn an_account_is_linked_by_who_asked_for_it_alone() {
    let world = World::start().await;
    let mut mallory = world.person("mallory@example.com").await;
    let mut victim = world.person("victim@example.com").await;
    let spent = "/account?problem=spent";
    // The attacker's way back, opened in the victim's browser: with nothing begun there, and with a link begun there.
    let attack = away(&world, &mut mallory, "link", "mallory").await;
    assert_eq!(back(&mut victim, &attack).await, spent);
    let own = away(&world, &mut victim, "link", "victim").await;
    assert_eq!(back(&mut victim, &attack).await, spent);
    assert!(subjects(&mut victim).await.is_empty());
    assert_eq!(back(&mut victim, &own).await, "/account?linked=one");
    assert_eq!(subjects(&mut victim).await, ["victim"]);
    // Another person signs in between in the same browser.
    let mut shared = mallory.clone();
    let query = away(&world, &mut shared, "link", "other").await;
    let request = shared.cookies.iter().find(|(name, _)| name == COOKIE);
    victim.cookies.push(request.expect("the request").clone());
    assert_eq!(back(&mut victim, &query).await, spent);
    assert_eq!(subjects(&mut victim).await, ["victim"]);
    assert!(subjects(&mut mallory).await.is_empty());
    // What was asked for to sign in links nothing, and one account there is one person's here.
    assert_eq!(
        link(&world, &mut mallory, "victim").await,
        "/account?problem=taken"
    );
    assert_eq!(sign_in(&world, &mut mallory, "victim").await, "/");
    let me = mallory.get(ME).await;
    assert_eq!(me.json["email"], "victim@example.com");
}

#[tokio::test]
async fn a_way_in_by_an_issuer_is_opened_soon_after_signing_in() {
    let world = World::start().await;
    let mut browser = world.person("anna@example.com").await;
    world.server.clock.advance(15 * MINUTE + 1);
    browser.post("/api/v1/auth/refresh", Value::Null).await;
    let late = start(&mut browser, "one", "link").await;
    assert_eq!(late.error(), "forbidden", "{}", late.text);
    assert_eq!(late.json["error"]["details"]["sign_in"], "again");
    // Whoever went in time and comes back late is no better.
    let mut slow = world.server.sign_in("anna@example.com").await;
    world.server.clock.advance(15 * MINUTE - 1_000);
    slow.post("/api/v1/auth/refresh", Value::Null).await;
    let query = away(&world, &mut slow, "link", "anna").await;
    world.server.clock.advance(2_000);
    assert_eq!(back(&mut slow, &query).await, "/account?problem=not_fresh");
    // Who is away longer than an access token lives is still signed in; who signed out is not.
    let mut browser = world.server.sign_in("anna@example.com").await;
    world.server.clock.advance(9 * MINUTE);
    let query = away(&world, &mut browser, "link", "anna").await;
    world.server.clock.advance(2 * MINUTE);
    assert!(
        !is_signed_in(&mut browser).await,
        "the access token has run out"
    );
    assert_eq!(back(&mut browser, &query).await, "/account?linked=one");
    let mut browser = world.server.sign_in("anna@example.com").await;
    let query = away(&world, &mut browser, "link", "other").await;
    let mut copied = browser.clone();
    browser.post("/api/v1/auth/logout", Value::Null).await;
    assert_eq!(
        back(&mut copied, &query).await,
        "/account?problem=session_ended"
    );
}

#[tokio::test]
async fn an_identity_that_is_taken_away_signs_in_no_more_and_ends_what_began_by_it() {
    let world = World::start().await;
    let mut browser = world.person("anna@example.com").await;
    link(&world, &mut browser, "anna").await;
    let mut by_issuer = world.stranger();
    assert_eq!(sign_in(&world, &mut by_issuer, "anna").await, "/");
    let mut away_now = world.stranger();
    let query = away(&world, &mut away_now, "sign_in", "anna").await;
    let listed = browser.get(IDENTITIES).await;
    let id = listed.json["items"][0]["id"]
        .as_str()
        .expect("id")
        .to_owned();
    let path = format!("{IDENTITIES}/{id}");
    let mut other = world.person("other@example.com").await;
    assert_eq!(other.delete(&path).await.error(), "not_found");
    assert_eq!(browser.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(browser.delete(&path).await.error(), "not_found");
    assert!(subjects(&mut browser).await.is_empty());
    assert!(is_signed_in(&mut browser).await);
    assert!(!is_signed_in(&mut by_issuer).await);
    assert_eq!(
        back(&mut away_now, &query).await,
        "/sign-in?problem=unlinked"
    );
    let unlinked = world.audited("oidc.unlink").await;
    let what = json!({ "issuer": world.one.url, "subject": "anna" });
    assert_eq!(unlinked[0].2.before.as_ref(), Some(&what));
}

#[tokio::test]
async fn an_account_elsewhere_is_not_the_way_in_that_must_stay() {
    let world = World::start().await;
    let mut admin = world
        .server
        .signed_in("root@example.com", &[Role::Admin])
        .await;
    let invited = json!({ "email": "anna@example.com", "roles": ["viewer"] });
    let invited = admin.post("/api/v1/users", invited).await;
    let path = invited.json["path"].as_str().expect("a link");
    let (_, token) = path.split_once("#token=").expect("a secret");
    let mut anna = world.stranger();
    let redeemed = anna
        .post("/api/v1/auth/redeem", json!({ "token": token }))
        .await;
    assert_eq!(redeemed.status, StatusCode::OK, "{}", redeemed.text);
    for subject in ["anna", "anna too"] {
        assert_eq!(
            link(&world, &mut anna, subject).await,
            "/account?linked=one"
        );
    }
    let listed = anna.get(IDENTITIES).await;
    let path = format!(
        "{IDENTITIES}/{}",
        listed.json["items"][0]["id"].as_str().expect("id")
    );
    let refused = anna.delete(&path).await;
    assert_eq!(refused.error(), "conflict", "{}", refused.text);
    assert_eq!(subjects(&mut anna).await.len(), 2);
    let set = anna
        .put(
            "/api/v1/users/me/password",
            json!({ "password": "a new password" }),
        )
        .await;
    assert_eq!(set.status, StatusCode::NO_CONTENT, "{}", set.text);
    assert_eq!(anna.delete(&path).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn whoever_is_shut_out_comes_in_by_no_issuer() {
    let world = World::start().await;
    let mut admin = world
        .server
        .signed_in("root@example.com", &[Role::Admin])
        .await;
    let mut anna = world.person("anna@example.com").await;
    link(&world, &mut anna, "anna").await;
    let mut coming = world.stranger();
    let query = away(&world, &mut coming, "sign_in", "anna").await;
    let linking = away(&world, &mut anna, "link", "anna too").await;
    let me = anna.get(ME).await;
    let path = format!("/api/v1/users/{}", me.json["user_id"].as_str().expect("id"));
    let shut = admin
        .patch(&path, json!({ "disabled": true, "reason": "a test" }))
        .await;
    assert_eq!(shut.status, StatusCode::OK, "{}", shut.text);
    assert_eq!(back(&mut coming, &query).await, "/sign-in?problem=unlinked");
    assert!(!is_signed_in(&mut coming).await);
    assert_eq!(
        back(&mut anna, &linking).await,
        "/account?problem=session_ended"
    );
    assert_eq!(
        sign_in(&world, &mut world.stranger(), "anna too").await,
        "/sign-in?problem=unlinked"
    );
}

#[tokio::test]
async fn an_identity_of_an_issuer_that_was_removed_says_so_and_can_go() {
    let world = World::start().await;
    let mut browser = world.person("anna@example.com").await;
    let me = browser.get(ME).await;
    let own = Scope::Person(me.json["user_id"].as_str().expect("id").to_owned());
    let identity = Identity {
        identity_id: "i_old".to_owned(),
        issuer: "https://gone.example".to_owned(),
        subject: "anna".to_owned(),
        email: None,
        linked_at_ms: NOW_MS,
    };
    let entry = AuditEntry {
        at_ms: NOW_MS,
        actor: "test".to_owned(),
        action: "oidc.link".to_owned(),
        object: "test".to_owned(),
        request_id: None,
        facts: AuditFacts::default(),
    };
    let store = &world.server.state.app.store;
    let sign_in = store
        .session_list(&own, NOW_MS)
        .await
        .expect("sign-ins")
        .remove(0);
    let linked = store.identity_link(&own, &identity, &sign_in.family_id, &entry);
    let linked = linked.await;
    assert_eq!(linked.expect("link"), IdentityLinked::Linked);
    let listed = browser.get(IDENTITIES).await;
    assert_eq!(
        listed.json["items"][0]["issuer_name"],
        Value::Null,
        "{}",
        listed.text
    );
    let gone = browser.delete(&format!("{IDENTITIES}/i_old")).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn issuers_are_tried_as_seldom_as_passwords() {
    let world = World::start_with(None, 3).await;
    let mut last = String::new();
    for _ in 0..4 {
        last = sign_in(&world, &mut world.stranger(), "nobody").await;
    }
    assert_eq!(last, "/sign-in?problem=too_often");
    assert_eq!(world.one.asked(TOKEN), 3);
    assert_eq!(world.spent().await, 0);
}
