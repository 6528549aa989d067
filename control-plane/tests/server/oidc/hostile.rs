//! Issuers that are down, slow or rotten, and answers that prove nothing.

use super::issuer::{Behaves, CLIENT, DISCOVERY, KEYS, TOKEN};
use super::keys::Signs;
use super::{World, away, back, is_signed_in, link, sign_in, start, subjects};
use crate::support::{Browser, NOW_MS};
use reqwest::StatusCode;
use serde_json::{Value, json};

const NOW_S: i64 = NOW_MS / 1_000;

/// Signs in; whether it worked, and why not.
async fn tried(world: &World) -> String {
    let mut browser = world.stranger();
    let page = sign_in(world, &mut browser, "anna").await;
    assert_eq!(is_signed_in(&mut browser).await, page == "/", "{page}");
    page
}

async fn with_anna() -> (World, Browser) {
    let world = World::start().await;
    let mut anna = world.person("anna@example.com").await;
    assert_eq!(link(&world, &mut anna, "anna").await, "/account?linked=one");
    (world, anna)
}

#[tokio::test]
async fn a_token_that_is_not_for_this_sign_in_signs_nobody_in() {
    let (world, mut anna) = with_anna().await;
    for claims in [
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "aud": "another console" }),
        json!({ "aud": [CLIENT, "another console"] }),
        json!({ "aud": [CLIENT, "another console"], "azp": "another console" }),
        json!({ "aud": null }),
        json!({ "iss": "https://accounts.example" }),
        json!({ "iss": format!("{}/", world.one.url) }),
        json!({ "iss": null }),
        json!({ "exp": NOW_S - 61 }),
        json!({ "exp": null }),
        json!({ "iat": NOW_S + 61 }),
        json!({ "iat": NOW_S - 61 }),
        json!({ "sub": "" }),
        json!({ "sub": null }),
    ] {
        world.one.script().claims = claims.clone();
        assert_eq!(tried(&world).await, "/sign-in?problem=unproven", "{claims}");
        let linked = link(&world, &mut anna, "anna too").await;
        assert_eq!(linked, "/account?problem=unproven", "{claims}");
    }
    assert_eq!(subjects(&mut anna).await, ["anna"]);
    assert_eq!(world.spent().await, 1, "what proves nothing writes nothing");
    let both = json!({ "aud": ["another console", CLIENT], "azp": CLIENT, "exp": NOW_S - 59, "iat": NOW_S + 60 });
    world.one.script().claims = both;
    assert_eq!(tried(&world).await, "/");
}

#[tokio::test]
async fn a_token_that_the_issuer_has_not_signed_signs_nobody_in() {
    let (world, _) = with_anna().await;
    for signs in [
        Signs::Not,
        Signs::ByPublicKey(1),
        Signs::Posing(2, 1),
        Signs::Garbage,
        Signs::Critical(1),
    ] {
        world.one.script().signs = signs.clone();
        assert_eq!(
            tried(&world).await,
            "/sign-in?problem=unproven",
            "{signs:?}"
        );
    }
    for signs in [Signs::Rsa, Signs::Ec, Signs::Ed(1)] {
        world.one.script().signs = signs.clone();
        assert_eq!(tried(&world).await, "/", "{signs:?}");
    }
}

#[tokio::test]
async fn an_algorithm_that_the_issuer_does_not_name_is_not_taken() {
    let world = World::start().await;
    let mut anna = world.person("anna@example.com").await;
    let rsa = json!({ "id_token_signing_alg_values_supported": ["RS256"] });
    world.one.script().document = rsa;
    assert_eq!(
        link(&world, &mut anna, "anna").await,
        "/account?problem=unproven"
    );
    world.one.script().signs = Signs::Rsa;
    assert_eq!(link(&world, &mut anna, "anna").await, "/account?linked=one");
    // One that it names later, with keys of another kind; it is asked again some seconds after the last time.
    let asked = world.one.asked(DISCOVERY);
    {
        let mut script = world.one.script();
        script.document = json!({ "id_token_signing_alg_values_supported": ["ES256"] });
        script.signs = Signs::Ec;
    }
    for _ in 0..3 {
        assert_eq!(tried(&world).await, "/sign-in?problem=unproven");
    }
    assert_eq!(world.one.asked(DISCOVERY), asked);
    world.server.clock.advance(10_000);
    assert_eq!(tried(&world).await, "/");
    assert_eq!(world.one.asked(DISCOVERY), asked + 1);
}

#[tokio::test]
async fn new_keys_are_found_and_strangers_cannot_have_them_looked_for_often() {
    let (world, _) = with_anna().await;
    assert_eq!(world.one.asked(KEYS), 1);
    {
        let mut script = world.one.script();
        script.signs = Signs::Ed(2);
        script.published = vec![Signs::Ed(1), Signs::Ed(2)];
    }
    for _ in 0..3 {
        assert_eq!(tried(&world).await, "/sign-in?problem=unproven");
    }
    assert_eq!(world.one.asked(KEYS), 1, "within some seconds");
    world.server.clock.advance(10_000);
    assert_eq!(tried(&world).await, "/");
    assert_eq!(world.one.asked(KEYS), 2);
    // A key that is not published is looked for once in that time.
    world.one.script().signs = Signs::Ed(3);
    world.server.clock.advance(10_000);
    for _ in 0..3 {
        assert_eq!(tried(&world).await, "/sign-in?problem=unproven");
    }
    assert_eq!(world.one.asked(KEYS), 3);
    // One that was taken back is good no longer than an hour.
    {
        let mut script = world.one.script();
        script.signs = Signs::Ed(1);
        script.published = vec![Signs::Ed(2)];
    }
    assert_eq!(tried(&world).await, "/");
    world.server.clock.advance(3_600_000);
    assert_eq!(tried(&world).await, "/sign-in?problem=unproven");
}

#[tokio::test]
async fn an_answer_that_names_another_issuer_is_none() {
    let (world, _) = with_anna().await;
    let unproven = "/sign-in?problem=unproven";
    world.one.script().iss = Some("https://accounts.example".to_owned());
    let asked = world.one.asked(TOKEN);
    assert_eq!(tried(&world).await, unproven);
    assert_eq!(
        world.one.asked(TOKEN),
        asked,
        "the code of another was shown to it"
    );
    world.one.script().iss = Some(world.one.url.clone());
    assert_eq!(tried(&world).await, "/");
    // One that says that its answers always do.
    let always = json!({ "authorization_response_iss_parameter_supported": true });
    world.one.script().document = always;
    world.server.clock.advance(3_600_000);
    assert_eq!(tried(&world).await, "/");
    world.one.script().iss = None;
    assert_eq!(tried(&world).await, unproven);
    // The same of an answer that is a refusal.
    let mut browser = world.stranger();
    let query = away(&world, &mut browser, "sign_in", "anna").await;
    let refusal = query.replace("code=", "error=access_denied&x=");
    assert_eq!(back(&mut browser, &refusal).await, unproven);
}

#[tokio::test]
async fn a_refusal_is_told_in_words_of_this_server() {
    let (world, mut anna) = with_anna().await;
    for (said, problem) in [
        ("error=access_denied", "declined"),
        ("error=server_error", "refused"),
        ("error=%3Cscript%3E", "refused"),
        ("x=y", "refused"),
    ] {
        let said =
            format!("{said}&error_description=%3Cscript%3E&error_uri=https%3A%2F%2Fevil.example");
        let mut browser = world.stranger();
        let query = away(&world, &mut browser, "sign_in", "anna").await;
        let refusal = query.replace("code=", &format!("{said}&was="));
        let page = back(&mut browser, &refusal).await;
        assert_eq!(page, format!("/sign-in?problem={problem}"), "{said}");
    }
    let query = away(&world, &mut anna, "link", "anna too").await;
    let refusal = query.replace("code=", "error=access_denied&was=");
    assert_eq!(back(&mut anna, &refusal).await, "/account?problem=declined");
    // A code that it does not know.
    let mut browser = world.stranger();
    let query = away(&world, &mut browser, "sign_in", "anna").await;
    let unknown = query.replace("code=code", "code=none");
    assert_eq!(
        back(&mut browser, &unknown).await,
        "/sign-in?problem=unproven"
    );
}

#[tokio::test]
async fn an_issuer_that_is_down_keeps_nobody_else_out_and_is_not_asked_often() {
    let world = World::start().await;
    for bad in [
        Behaves::Fails(500),
        Behaves::Fails(404),
        Behaves::Redirects,
        Behaves::Floods,
        Behaves::Babbles,
    ] {
        let asked = world.one.asked(DISCOVERY);
        world.one.script().behaves.insert(DISCOVERY, bad);
        for _ in 0..3 {
            let refused = start(&mut world.stranger(), "one", "sign_in").await;
            assert_eq!(refused.error(), "unavailable", "{bad:?}: {}", refused.text);
            assert!(!refused.text.contains(&world.one.url), "{}", refused.text);
        }
        // One request, which was not sent on.
        assert_eq!(world.one.asked(DISCOVERY), asked + 1, "{bad:?}");
        world.server.clock.advance(10_000);
    }
    let other = start(&mut world.stranger(), "two", "sign_in").await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.text);
    world.one.script().behaves.clear();
    let started = start(&mut world.stranger(), "one", "sign_in").await;
    assert_eq!(started.status, StatusCode::OK, "{}", started.text);
    // What it said once is good while it is down, for whoever may have to sign in.
    world
        .one
        .script()
        .behaves
        .insert(DISCOVERY, Behaves::Fails(500));
    world.server.clock.advance(2 * 3_600_000);
    let started = start(&mut world.stranger(), "one", "sign_in").await;
    assert_eq!(started.status, StatusCode::OK, "{}", started.text);
}

#[tokio::test]
async fn keys_and_tokens_are_had_within_the_same_bounds() {
    let (world, _) = with_anna().await;
    let unavailable = "/sign-in?problem=unavailable";
    for bad in [
        Behaves::Fails(503),
        Behaves::Redirects,
        Behaves::Floods,
        Behaves::Babbles,
    ] {
        let asked = world.one.asked(TOKEN);
        world.one.script().behaves.insert(TOKEN, bad);
        assert_eq!(tried(&world).await, unavailable, "{bad:?}");
        assert_eq!(world.one.asked(TOKEN), asked + 1, "{bad:?}");
    }
    let fresh = World::start().await;
    for bad in [
        Behaves::Fails(503),
        Behaves::Redirects,
        Behaves::Floods,
        Behaves::Babbles,
    ] {
        fresh.one.script().behaves.insert(KEYS, bad);
        assert_eq!(tried(&fresh).await, unavailable, "{bad:?}");
        fresh.server.clock.advance(10_000);
    }
    fresh.one.script().behaves.clear();
    assert_eq!(tried(&fresh).await, "/sign-in?problem=unlinked");
}

#[tokio::test]
async fn an_issuer_that_says_nothing_is_given_up() {
    let world = World::start_within(std::time::Duration::from_millis(200)).await;
    world
        .one
        .script()
        .behaves
        .insert(DISCOVERY, Behaves::IsSilent);
    let refused = start(&mut world.stranger(), "one", "sign_in").await;
    assert_eq!(refused.error(), "unavailable", "{}", refused.text);
    world.one.script().behaves.clear();
    world.server.clock.advance(10_000);
    let mut browser = world.stranger();
    let query = away(&world, &mut browser, "sign_in", "anna").await;
    world.one.script().behaves.insert(TOKEN, Behaves::IsSilent);
    assert_eq!(
        back(&mut browser, &query).await,
        "/sign-in?problem=unavailable"
    );
}

#[tokio::test]
async fn a_document_of_another_issuer_or_without_tls_is_not_taken() {
    let world = World::start().await;
    for document in [
        json!({ "issuer": "https://accounts.example" }),
        json!({ "issuer": format!("{}/", world.one.url) }),
        json!({ "issuer": null }),
        json!({ "token_endpoint": "http://192.0.2.1/token" }),
        json!({ "jwks_uri": "file:///etc/passwd" }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
        json!({ "id_token_signing_alg_values_supported": ["none", "HS256"] }),
        json!({ "id_token_signing_alg_values_supported": null }),
    ] {
        world.one.script().document = document.clone();
        let refused = start(&mut world.stranger(), "one", "sign_in").await;
        assert_eq!(refused.error(), "unavailable", "{document}");
        world.server.clock.advance(10_000);
    }
    world.one.script().document = Value::Object(Default::default());
    let started = start(&mut world.stranger(), "one", "sign_in").await;
    assert_eq!(started.status, StatusCode::OK, "{}", started.text);
}
