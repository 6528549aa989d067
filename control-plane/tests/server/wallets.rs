//! Signing in with a wallet: for this site, this browser, once, in time, and only with a wallet that is linked.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{Answer, Browser, NOW_MS, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane::http::HttpSettings;
use dgon_control_plane_model::identity::{SiteUri, WalletSite};
use dgon_protocol::key::NodeKey;
use k256::ecdsa::SigningKey;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha3::{Digest as _, Keccak256};
use std::sync::Arc;

const ME: &str = "/api/v1/users/me";
const NONCE: &str = "/api/v1/auth/nonce";
const SIGN_IN: &str = "/api/v1/auth/wallet";
const WALLETS: &str = "/api/v1/wallets";

/// A wallet with a key of its own.
pub(crate) enum Wallet {
    Evm(SigningKey),
    Solana(NodeKey),
}

impl Wallet {
    pub(crate) fn evm(seed: u8) -> Self {
        Self::Evm(SigningKey::from_slice(&[seed; 32]).expect("a key"))
    }

    fn solana(seed: u8) -> Self {
        Self::Solana(NodeKey::from_seed(&[seed; 32]))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Evm(_) => "evm",
            Self::Solana(_) => "solana",
        }
    }

    fn address(&self) -> String {
        match self {
            Self::Evm(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let hash = Keccak256::digest(&point.as_bytes()[1..]);
                format!("0x{}", hex(&hash[12..]))
            }
            Self::Solana(key) => bs58::encode(key.public().as_bytes()).into_string(),
        }
    }

    fn sign(&self, message: &str) -> String {
        match self {
            Self::Evm(key) => {
                let prefix = format!("\x19Ethereum Signed Message:\n{}", message.len());
                let hash = Keccak256::new().chain_update(prefix).chain_update(message);
                let (signature, recovery) = key.sign_prehash_recoverable(&hash.finalize());
                format!(
                    "0x{}{:02x}",
                    hex(&signature.to_bytes()),
                    recovery.to_byte() + 27
                )
            }
            Self::Solana(key) => STANDARD.encode(key.sign(message.as_bytes())),
        }
    }

    /// What the browser asks for, and the wallet signs.
    async fn asked(&self, browser: &mut Browser, purpose: &str) -> (Answer, Value) {
        let (kind, address) = (self.kind(), self.address());
        let wish = json!({ "purpose": purpose, "kind": kind, "address": address });
        let asked = browser.post(NONCE, wish).await;
        assert_eq!(asked.status, StatusCode::OK, "{}", asked.text);
        let message = asked.json["message"].as_str().expect("a message");
        let answer = json!({ "signature": self.sign(message) });
        (asked, answer)
    }

    pub(crate) async fn link(&self, browser: &mut Browser) -> Answer {
        let (_, answer) = self.asked(browser, "link").await;
        browser.post(WALLETS, answer).await
    }

    pub(crate) async fn sign_in(&self, browser: &mut Browser) -> Answer {
        let (_, answer) = self.asked(browser, "sign_in").await;
        browser.post(SIGN_IN, answer).await
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) async fn start() -> Server {
    start_with(HttpSettings::default()).await
}

async fn start_with(http: HttpSettings) -> Server {
    let site = WalletSite {
        uri: SiteUri::parse("https://console.example").ok(),
        cosmos: Vec::new(),
    };
    let settings = Settings {
        wallets: Arc::new(site),
        ..Settings::default()
    };
    Server::start_at(settings, http, Clock::manual(NOW_MS)).await
}

#[tokio::test]
async fn a_wallet_that_is_linked_signs_in() {
    let server = start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    for wallet in [Wallet::evm(1), Wallet::solana(2)] {
        let unknown = wallet.sign_in(&mut Browser::new(&server)).await;
        assert_eq!(unknown.error(), "unauthorized", "{}", unknown.text);
        let linked = wallet.link(&mut browser).await;
        assert_eq!(linked.status, StatusCode::OK, "{}", linked.text);
        let mut another = Browser::new(&server);
        let me = wallet.sign_in(&mut another).await;
        assert_eq!(me.json["email"], "a@example.com", "{}", me.text);
        assert_eq!(another.get(ME).await.status, StatusCode::OK);
        let listed = another.get("/api/v1/sessions").await;
        let mut sign_ins = listed.json["items"].as_array().expect("items").iter();
        let own = sign_ins.find(|sign_in| sign_in["is_current"] == true);
        assert_eq!(own.expect("its own sign-in")["method"], "wallet");
    }
    let listed = browser.get(WALLETS).await;
    let kinds: Vec<&Value> = listed.json["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|wallet| &wallet["kind"])
        .collect();
    assert_eq!(kinds, ["evm", "solana"]);
}

#[tokio::test]
async fn what_is_signed_names_this_site_and_what_it_is_for() {
    let server = start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let wallet = Wallet::solana(2);
    let (to_sign_in, _) = wallet.asked(&mut browser, "sign_in").await;
    let (to_link, _) = wallet.asked(&mut browser, "link").await;
    let messages = [&to_sign_in, &to_link].map(|asked| asked.json["message"].clone());
    for message in &messages {
        let text = message.as_str().expect("text");
        assert!(
            text.starts_with("console.example wants you to sign in"),
            "{text}"
        );
    }
    assert_ne!(messages[0], messages[1]);
    assert_eq!(to_sign_in.json["solana_input"]["domain"], "console.example");
    // The host that a request names is its sender's to choose.
    let wish = json!({ "purpose": "sign_in", "kind": "solana", "address": wallet.address() });
    let request = browser.request(reqwest::Method::POST, NONCE).json(&wish);
    let asked = browser
        .send(request.header("x-forwarded-host", "evil.example"))
        .await;
    assert!(!asked.text.contains("evil.example"), "{}", asked.text);
}

#[tokio::test]
async fn an_answer_is_good_once_in_time_and_in_its_browser() {
    let server = start().await;
    let mut owner = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let wallet = Wallet::evm(1);
    wallet.link(&mut owner).await;

    let mut browser = Browser::new(&server);
    let (_, answer) = wallet.asked(&mut browser, "sign_in").await;
    // Whoever saw it on the way has not the cookie.
    let elsewhere = Browser::new(&server).post(SIGN_IN, answer.clone()).await;
    assert_eq!(elsewhere.error(), "invalid_token", "{}", elsewhere.text);
    let mut copied = browser.clone();
    assert_eq!(
        browser.post(SIGN_IN, answer.clone()).await.status,
        StatusCode::OK
    );
    let again = copied.post(SIGN_IN, answer).await;
    assert_eq!(again.error(), "invalid_token", "{}", again.text);

    let mut late = Browser::new(&server);
    let (_, answer) = wallet.asked(&mut late, "sign_in").await;
    server.clock.advance(300_000);
    assert_eq!(late.post(SIGN_IN, answer).await.error(), "invalid_token");
}

#[tokio::test]
async fn of_many_at_once_with_one_answer_one_signs_in() {
    let server = start().await;
    let mut owner = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let wallet = Wallet::evm(1);
    wallet.link(&mut owner).await;
    let mut browser = Browser::new(&server);
    let (_, answer) = wallet.asked(&mut browser, "sign_in").await;
    let tries = (0..8).map(|_| {
        let (mut browser, answer) = (browser.clone(), answer.clone());
        tokio::spawn(async move { browser.post(SIGN_IN, answer).await.status })
    });
    let mut signed_in = 0;
    for tried in tries.collect::<Vec<_>>() {
        signed_in += u32::from(tried.await.expect("an answer") == StatusCode::OK);
    }
    assert_eq!(signed_in, 1);
}

#[tokio::test]
async fn what_proves_nothing_signs_nobody_in() {
    let server = start().await;
    let mut owner = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let (wallet, other) = (Wallet::evm(1), Wallet::evm(3));
    wallet.link(&mut owner).await;
    let mut browser = Browser::new(&server);
    let (asked, _) = wallet.asked(&mut browser, "sign_in").await;
    let message = asked.json["message"].as_str().expect("text");
    let elsewhere = message.replace("console.example", "evil.example");
    for signature in [
        other.sign(message),
        wallet.sign(&elsewhere),
        String::new(),
        "0x".to_owned(),
    ] {
        let refused = browser
            .post(SIGN_IN, json!({ "signature": signature }))
            .await;
        assert_eq!(refused.error(), "invalid_signature", "{}", refused.text);
        assert!(
            !refused.text.contains(&wallet.address()),
            "{}",
            refused.text
        );
    }
    // A request that this server did not seal.
    let sealed = browser
        .cookies
        .iter()
        .find(|(name, _)| name == "dgon_wallet");
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
        ".".to_owned(),
    ] {
        let mut forger = Browser::new(&server);
        forger.cookies = vec![("dgon_wallet".to_owned(), forged)];
        let answer = json!({ "signature": wallet.sign(message) });
        assert_eq!(forger.post(SIGN_IN, answer).await.error(), "invalid_token");
    }
    // What was signed to sign in links nothing.
    let (_, answer) = other.asked(&mut owner, "sign_in").await;
    assert_eq!(owner.post(WALLETS, answer).await.error(), "invalid_token");
    let (_, answer) = wallet.asked(&mut owner, "link").await;
    assert_eq!(owner.post(SIGN_IN, answer).await.error(), "invalid_token");
    assert_eq!(
        server
            .state
            .app
            .store
            .inspect()
            .texts("SELECT address FROM wallets")
            .await
            .expect("rows")
            .len(),
        1
    );
}

#[tokio::test]
async fn a_wallet_is_one_persons_and_the_last_way_in_stays() {
    let server = start().await;
    let mut one = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let mut two = server.signed_in("b@example.com", &[Role::Viewer]).await;
    let wallet = Wallet::evm(1);
    assert_eq!(wallet.link(&mut one).await.status, StatusCode::OK);
    assert_eq!(
        wallet.link(&mut one).await.status,
        StatusCode::OK,
        "it is theirs"
    );
    assert_eq!(wallet.link(&mut two).await.error(), "conflict");
    let listed = one.get(WALLETS).await;
    let address = listed.json["items"][0]["address"]
        .as_str()
        .expect("an address");
    let at = format!("{WALLETS}/evm/{address}");
    assert_eq!(two.delete(&at).await.error(), "not_found");
    let none = "UPDATE users SET password_hash = NULL WHERE email = 'a@example.com'";
    server
        .state
        .app
        .store
        .inspect()
        .execute(none)
        .await
        .expect("rows");
    assert_eq!(one.delete(&at).await.error(), "conflict");
    Wallet::solana(2).link(&mut one).await;
    assert_eq!(one.delete(&at).await.status, StatusCode::NO_CONTENT);
    let gone = wallet.sign_in(&mut Browser::new(&server)).await;
    assert_eq!(gone.error(), "unauthorized");
    assert_eq!(wallet.link(&mut two).await.status, StatusCode::OK);
    for seed in 10..25 {
        assert_eq!(
            Wallet::solana(seed).link(&mut two).await.status,
            StatusCode::OK
        );
    }
    assert_eq!(Wallet::solana(25).link(&mut two).await.error(), "conflict");
}

#[tokio::test]
async fn without_an_address_to_sign_for_no_wallet_is_asked() {
    let server = Server::start().await;
    let wish = json!({ "purpose": "sign_in", "kind": "evm", "address": Wallet::evm(1).address() });
    let mut browser = Browser::new(&server);
    let refused = browser.post(NONCE, wish).await;
    assert_eq!(refused.error(), "conflict", "{}", refused.text);
    assert_eq!(
        browser.get("/api/v1/auth/state").await.json["wallets"],
        false
    );
    let server = start().await;
    let mut browser = Browser::new(&server);
    assert_eq!(
        browser.get("/api/v1/auth/state").await.json["wallets"],
        true
    );
    for (field, wish) in [
        (
            "address",
            json!({ "purpose": "sign_in", "kind": "evm", "address": "0x12" }),
        ),
        (
            "chain_id",
            json!({ "purpose": "sign_in", "kind": "cosmos", "address": "cosmos1x" }),
        ),
        (
            "chain_id",
            json!({ "purpose": "sign_in", "kind": "evm", "chain_id": "zero", "address": "" }),
        ),
    ] {
        let refused = browser.post(NONCE, wish).await;
        assert_eq!(
            refused.json["error"]["details"]["field"], field,
            "{}",
            refused.text
        );
    }
    let linking = json!({ "purpose": "link", "kind": "evm", "address": Wallet::evm(1).address() });
    assert_eq!(browser.post(NONCE, linking).await.error(), "unauthorized");
}

#[tokio::test]
async fn a_request_is_for_whom_it_was_made() {
    let server = start().await;
    let mut one = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let mut two = server.signed_in("b@example.com", &[Role::Viewer]).await;
    let wallet = Wallet::evm(1);
    let (_, answer) = wallet.asked(&mut one, "link").await;
    // The cookie of one in the session of the other, as whoever shares a machine could have it.
    let request = one.cookies.iter().find(|(name, _)| name == "dgon_wallet");
    two.cookies.push(request.expect("the request").clone());
    assert_eq!(
        two.post(WALLETS, answer.clone()).await.error(),
        "invalid_token"
    );
    assert_eq!(one.post(WALLETS, answer).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_way_in_is_opened_soon_after_signing_in() {
    let server = start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    server.clock.advance(900_001);
    browser.post("/api/v1/auth/refresh", Value::Null).await;
    let wallet = Wallet::evm(1);
    let wish = json!({ "purpose": "link", "kind": "evm", "address": wallet.address() });
    let late = browser.post(NONCE, wish).await;
    assert_eq!(late.error(), "forbidden", "{}", late.text);
    assert_eq!(late.json["error"]["details"]["sign_in"], "again");
    // Whoever was asked in time and answers late is no better.
    let mut slow = server.sign_in("a@example.com").await;
    server.clock.advance(899_000);
    slow.post("/api/v1/auth/refresh", Value::Null).await;
    let (_, answer) = wallet.asked(&mut slow, "link").await;
    server.clock.advance(2_000);
    assert_eq!(slow.post(WALLETS, answer).await.error(), "forbidden");
    // Whose session has ended may still have its cookies, and signs in anew.
    let mut browser = server.sign_in("a@example.com").await;
    Wallet::evm(1).link(&mut browser).await;
    let mut stale = browser.clone();
    browser.post("/api/v1/auth/logout", Value::Null).await;
    let again = Wallet::evm(1).sign_in(&mut stale).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
}

#[tokio::test]
async fn wallets_are_tried_as_seldom_as_passwords_and_strangers_write_nothing() {
    let server = start().await;
    let wallet = Wallet::evm(1);
    let mut last = String::new();
    for _ in 0..11 {
        last = wallet
            .sign_in(&mut Browser::new(&server))
            .await
            .error()
            .to_owned();
    }
    assert_eq!(last, "rate_limited");
    let inspect = server.state.app.store.inspect();
    let rows = inspect
        .texts("SELECT CAST(expires_at_ms AS TEXT) FROM spent_nonces")
        .await;
    assert_eq!(rows.expect("rows").len(), 0);
}

/// Row 23 of the threat model.
#[tokio::test]
async fn what_was_signed_for_another_site_without_a_nonce_or_before_signs_nobody_in() {
    let http = HttpSettings {
        sign_ins_per_minute: 100,
        ..HttpSettings::default()
    };
    let server = start_with(http).await;
    let mut owner = server.signed_in("a@example.com", &[Role::Viewer]).await;
    for wallet in [Wallet::evm(1), Wallet::solana(2)] {
        wallet.link(&mut owner).await;
        let mut browser = Browser::new(&server);
        let (asked, answer) = wallet.asked(&mut browser, "sign_in").await;
        let message = asked.json["message"].as_str().expect("text");
        let is_nonce = |line: &&str| line.starts_with("Nonce: ");
        let nonce = message.lines().find(is_nonce).expect("a nonce");
        let elsewhere = message.replace("console.example", "evil.example");
        let without = message.replace(&format!("{nonce}\n"), "");
        let of_another = message.replace(nonce, "Nonce: 00000000000000000000000000000000");
        for signed in [elsewhere, without, of_another] {
            assert_ne!(signed, message);
            // Said to be what was signed, and kept quiet about.
            for told in [json!(signed), Value::Null] {
                let answer = json!({ "signature": wallet.sign(&signed), "message": told });
                let refused = browser.post(SIGN_IN, answer).await;
                assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{signed}");
                assert_eq!(refused.error(), "invalid_signature");
            }
        }
        let unasked = Browser::new(&server).post(SIGN_IN, answer.clone()).await;
        assert_eq!(unasked.status, StatusCode::UNAUTHORIZED);
        assert_eq!(unasked.error(), "invalid_token");
        let cookies = browser.cookies.clone();
        let first = browser.post(SIGN_IN, answer.clone()).await;
        assert_eq!(first.status, StatusCode::OK, "{}", first.text);
        browser.cookies = cookies;
        let again = browser.post(SIGN_IN, answer).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED);
        assert_eq!(again.error(), "invalid_token");
    }
}

/// Browsers drop a cookie that is too large; the tests' own refuses it ([`crate::support`]).
#[tokio::test]
async fn a_request_of_a_site_with_a_long_name_fits_into_a_cookie() {
    let name = [
        "x".repeat(60),
        "y".repeat(60),
        "z".repeat(60),
        "example".to_owned(),
    ]
    .join(".");
    let site = WalletSite {
        uri: SiteUri::parse(format!("https://{name}")).ok(),
        cosmos: Vec::new(),
    };
    let settings = Settings {
        wallets: Arc::new(site),
        ..Settings::default()
    };
    let server = Server::start_with(settings, HttpSettings::default()).await;
    let mut browser = Browser::new(&server);
    let (asked, _) = Wallet::solana(2).asked(&mut browser, "sign_in").await;
    assert!(
        asked.header("set-cookie").len() > 500,
        "{:?}",
        asked.headers
    );
}
