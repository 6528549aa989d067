//! A sign-in by an issuer ends the session that its browser had, as every sign-in does.

use super::{World, link, sign_in};
use crate::one_browser::{is_over, lasts};

#[tokio::test]
async fn a_sign_in_by_an_issuer_ends_the_session_that_its_browser_had() {
    let world = World::start().await;
    let mut browser = world.person("anna@example.com").await;
    assert_eq!(
        link(&world, &mut browser, "anna").await,
        "/account?linked=one"
    );
    let before = browser.clone();
    // Who is not let in ends nothing.
    let unlinked = sign_in(&world, &mut browser, "berta").await;
    assert_eq!(unlinked, "/sign-in?problem=unlinked");
    lasts(&before).await;
    assert_eq!(sign_in(&world, &mut browser, "anna").await, "/");
    is_over(before).await;
    lasts(&browser).await;
}
