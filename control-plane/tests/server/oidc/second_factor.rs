//! An issuer's word is a first proof: who is asked for a code is asked for it after that, too.

use super::{World, is_signed_in, link, sign_in, start};
use crate::second_factor::Authenticator;
use crate::support::PASSWORD;
use reqwest::StatusCode;
use serde_json::{Value, json};

const FACTOR: &str = "/api/v1/users/me/second-factor";
const CODE: &str = "/api/v1/auth/second-factor";

#[tokio::test]
async fn who_comes_from_an_issuer_is_asked_for_the_code() {
    let world = World::start().await;
    let mut owner = world.person("anna@example.com").await;
    assert_eq!(
        link(&world, &mut owner, "anna").await,
        "/account?linked=one"
    );
    let offer = owner.post(&format!("{FACTOR}/offer"), Value::Null).await;
    let app = Authenticator::scan(&offer);
    let body = json!({ "sealed": offer.json["sealed"], "code": app.code(&world.server), "current": PASSWORD });
    let set = owner.put(FACTOR, body).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);

    let mut browser = world.stranger();
    let arrived = sign_in(&world, &mut browser, "anna").await;
    assert_eq!(arrived, "/sign-in?step=code");
    assert!(!is_signed_in(&mut browser).await);
    let mut late = browser.clone();
    let code = app.next_code(&world.server);
    let me = browser.post(CODE, json!({ "code": code })).await;
    assert_eq!(me.json["email"], "anna@example.com", "{}", me.text);
    assert!(is_signed_in(&mut browser).await);

    // What was taken away meanwhile proves nothing.
    let listed = browser.get(super::IDENTITIES).await;
    let id = listed.json["items"][0]["id"].as_str().expect("an id");
    let gone = browser.delete(&format!("{}/{id}", super::IDENTITIES)).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text);
    let code = app.next_code(&world.server);
    let refused = late.post(CODE, json!({ "code": code })).await;
    assert_eq!(refused.error(), "invalid_token", "{}", refused.text);
    assert_eq!(
        start(&mut late, "one", "sign_in").await.status,
        StatusCode::OK
    );
}
