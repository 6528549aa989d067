//! Signing in by an issuer of OpenID Connect, and a person's own accounts there.
//!
//! A browser goes to the issuer and comes back by itself, so what went wrong is told in the address of a page: by one of the
//! words of `Problem`, and never in words of the issuer.

use super::sign_in::{Attempt, entered};
use crate::accounts::{AccountError, OidcAnswer, OidcPurpose, OwnIdentity, SignedIn};
use crate::app::views::time;
use crate::http::auth::{Actor, Caller, MaybePerson};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path};
use crate::http::state::HttpState;
use crate::oidc::IssuerSettings;
use axum::extract::{Query, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where issuers send people back. An issuer may say more there than this server reads (RFC 6749, 4.1.2).
pub const CALLBACK: &str = "/api/v1/auth/oidc/{issuer}/callback";

/// An issuer that people can sign in by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IssuerView {
    /// Its name in addresses.
    pub id: String,
    /// Its name for people.
    pub name: String,
}

impl From<&IssuerSettings> for IssuerView {
    fn from(issuer: &IssuerSettings) -> Self {
        Self {
            id: issuer.id.as_str().to_owned(),
            name: issuer.name.clone(),
        }
    }
}

/// What to go to an issuer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OidcWish {
    /// To sign in.
    SignIn,
    /// To link the account there to the account that is signed in here.
    Link,
}

/// What to go to an issuer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcStartRequest {
    /// What for.
    pub purpose: OidcWish,
}

/// Where to go. The answer is good for this browser, once, for ten minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OidcStartView {
    /// Address at the issuer.
    pub url: String,
}

/// An account of yours at an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IdentityView {
    /// Its name here.
    pub id: String,
    /// URL of the issuer.
    pub issuer: String,
    /// Name of the issuer; `null` where it is in the settings no more, and so signs nobody in.
    pub issuer_name: Option<String>,
    /// The account there.
    pub subject: String,
    /// The address that the issuer said when it was linked.
    pub email: Option<String>,
    /// Since when it is yours.
    pub linked_at: String,
}

/// Your accounts at issuers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Identities {
    /// In the order in which they were linked.
    pub items: Vec<IdentityView>,
}

impl From<OwnIdentity> for IdentityView {
    fn from(own: OwnIdentity) -> Self {
        Self {
            id: own.identity.identity_id,
            issuer: own.identity.issuer,
            issuer_name: own.issuer_name,
            subject: own.identity.subject,
            email: own.identity.email,
            linked_at: time(own.identity.linked_at_ms),
        }
    }
}

/// Why somebody came back from an issuer in vain, as pages are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Spent,
    Declined,
    Refused,
    Unproven,
    Unavailable,
    Unlinked,
    Taken,
    TooMany,
    NotFresh,
    SessionEnded,
    TooOften,
    Failed,
}

impl Problem {
    const fn word(self) -> &'static str {
        match self {
            Self::Spent => "spent",
            Self::Declined => "declined",
            Self::Refused => "refused",
            Self::Unproven => "unproven",
            Self::Unavailable => "unavailable",
            Self::Unlinked => "unlinked",
            Self::Taken => "taken",
            Self::TooMany => "too_many",
            Self::NotFresh => "not_fresh",
            Self::SessionEnded => "session_ended",
            Self::TooOften => "too_often",
            Self::Failed => "failed",
        }
    }

    /// What a page is told; what the server's operator needs to know goes to the log.
    fn of(error: AccountError, issuer: &str) -> Self {
        match error {
            AccountError::OidcSpent | AccountError::NotFound(_) => Self::Spent,
            AccountError::OidcDeclined => Self::Declined,
            AccountError::OidcRefused => Self::Refused,
            AccountError::OidcProof(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(issuer, error, "an answer of an issuer proves nothing");
                Self::Unproven
            }
            AccountError::Issuer(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(issuer, error, "an issuer did not answer a sign-in");
                Self::Unavailable
            }
            AccountError::IdentityUnknown => Self::Unlinked,
            AccountError::IdentityTaken => Self::Taken,
            AccountError::TooManyIdentities => Self::TooMany,
            AccountError::NotFresh => Self::NotFresh,
            AccountError::SessionEnded => Self::SessionEnded,
            AccountError::TooOften { .. } => Self::TooOften,
            other => {
                // It says in the log what a person can do nothing about.
                let _ = ApiError::from(other);
                Self::Failed
            }
        }
    }
}

/// Begins a sign-in at an issuer: its request is in a cookie, for this browser alone, for ten minutes.
///
/// # Errors
/// `not_found` for an issuer that there is not, `unauthorized` to link without a session, `forbidden` to link more than 15
/// minutes after signing in, `unavailable` where the issuer does not answer.
#[utoipa::path(post, path = "/api/v1/auth/oidc/{issuer}/start", tag = "people", security((), ("session" = [])),
    params(("issuer" = String, Path, description = "One of `issuers` of GET /auth/state.")),
    request_body = OidcStartRequest,
    responses((status = 200, description = "Where to go.", body = OidcStartView)))]
pub async fn auth_oidc_start(
    State(state): State<HttpState>,
    MaybePerson(person): MaybePerson,
    Path(issuer): Path<String>,
    Json(body): Json<OidcStartRequest>,
) -> Result<Response, ApiError> {
    // Who signs in again may still have cookies of a session that has ended.
    let purpose = match body.purpose {
        OidcWish::SignIn => OidcPurpose::SignIn,
        OidcWish::Link => OidcPurpose::Link(person.as_ref().ok_or_else(ApiError::unauthorized)?),
    };
    let start = state.accounts.oidc_start(&issuer, purpose).await?;
    let cookie = AppendHeaders(state.cookies.set_oidc(&start.sealed, start.lifetime_s));
    let view = OidcStartView { url: start.url };
    Ok((cookie, axum::Json(view)).into_response())
}

/// Where an issuer sends a browser back. It signs in, or links, and goes on to a page, with `problem` where it was in vain.
/// What else the issuer says in the address is not read.
#[utoipa::path(get, path = "/api/v1/auth/oidc/{issuer}/callback", tag = "people", security(()),
    params(("issuer" = String, Path, description = "The issuer that was gone to."),
        ("state" = Option<String>, Query, description = "What the request is known by."),
        ("code" = Option<String>, Query, description = "The code of who was let in."),
        ("error" = Option<String>, Query, description = "Why there is none."),
        ("iss" = Option<String>, Query, description = "URL of the issuer, where it says it.")),
    responses((status = 303, description = "To a page of the console; the session, if one began, is in cookies.")))]
pub async fn auth_oidc_callback(
    State(state): State<HttpState>,
    headers: HeaderMap,
    caller: Caller,
    MaybePerson(person): MaybePerson,
    Path(issuer): Path<String>,
    uri: Uri,
) -> Response {
    let sealed = state.cookies.oidc(&headers).unwrap_or_default();
    let answer = OidcAnswer {
        sealed: sealed.to_owned(),
        ..said(&uri)
    };
    let page = if person.is_some() { LINKS } else { SIGNS_IN };
    let request = match state.accounts.oidc_request(&issuer, &answer) {
        Ok(request) => request,
        // Its cookie stays: it may be that of another sign-in, which goes on.
        Err(error) => return go_back(page, Problem::of(error, &issuer)),
    };
    let response = match (Attempt::begin(&state, &headers, &caller), request.is_link()) {
        (Err(_), is_link) => go_back(if is_link { LINKS } else { SIGNS_IN }, Problem::TooOften),
        (Ok(attempt), false) => {
            let accounts = &state.accounts;
            let signed_in = accounts.oidc_sign_in(&request, &answer, &caller.origin);
            let signed_in = attempt.judged(signed_in.await);
            arrived(&state, (&headers, &caller), signed_in, &issuer).await
        }
        (Ok(attempt), true) => {
            let (accounts, acting) = (&state.accounts, person.as_ref());
            let linked = accounts.oidc_link(&request, &answer, acting, &caller.origin);
            match attempt.judged(linked.await) {
                Ok(()) => to(&format!("{LINKS}?linked={issuer}")),
                Err(error) => go_back(LINKS, Problem::of(error, &issuer)),
            }
        }
    };
    (AppendHeaders(state.cookies.set_oidc("", 0)), response).into_response()
}

/// The page that links begin at.
const LINKS: &str = "/account";
const SIGNS_IN: &str = "/sign-in";
/// The page for who has proven who they are, and is asked for a code beside that.
const ASKS_FOR_CODE: &str = "/sign-in?step=code";

/// Where whoever was at an issuer to sign in goes on.
async fn arrived(
    state: &HttpState,
    asks: (&HeaderMap, &Caller),
    signed_in: Result<SignedIn, AccountError>,
    issuer: &str,
) -> Response {
    match signed_in {
        // What keeps it from its browser is in the log already.
        Ok(signed_in) => match entered(state, asks, &signed_in).await {
            Ok(session) => (session, to("/")).into_response(),
            Err(_) => go_back(SIGNS_IN, Problem::Failed),
        },
        Err(AccountError::SecondFactor(pending)) => {
            let cookies = state.cookies;
            let cookie = cookies.set_pending(&pending.sealed, pending.lifetime_s);
            (AppendHeaders(cookie), to(ASKS_FOR_CODE)).into_response()
        }
        Err(error) => go_back(SIGNS_IN, Problem::of(error, issuer)),
    }
}

fn go_back(page: &str, problem: Problem) -> Response {
    to(&format!("{page}?problem={}", problem.word()))
}

fn to(page: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, page)]).into_response()
}

/// What an issuer said in the address. Said twice it is not said: whoever reads the other one would read another answer.
fn said(uri: &Uri) -> OidcAnswer {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let mut pairs = pairs.map(|Query(pairs)| pairs).unwrap_or_default();
    pairs.retain(|(name, _)| ["state", "code", "error", "iss"].contains(&name.as_str()));
    let mut names: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    if names.len() < pairs.len() {
        return OidcAnswer::default();
    }
    let mut take = |wanted: &str| {
        let at = pairs.iter().position(|(name, _)| name == wanted)?;
        Some(pairs.swap_remove(at).1)
    };
    OidcAnswer {
        sealed: String::new(),
        state: take("state"),
        code: take("code"),
        error: take("error"),
        iss: take("iss"),
    }
}

/// Your accounts at issuers.
///
/// # Errors
/// `unauthorized`.
#[utoipa::path(get, path = "/api/v1/identities", tag = "people",
    responses((status = 200, description = "Your accounts at issuers.", body = Identities)))]
pub async fn identity_list(
    State(state): State<HttpState>,
    actor: Actor,
) -> Result<axum::Json<Identities>, ApiError> {
    let own = state.accounts.identity_list(actor.person()?).await?;
    let items = own.into_iter().map(IdentityView::from).collect();
    Ok(axum::Json(Identities { items }))
}

/// Takes an account at an issuer away from yours. Your other sign-ins by issuers end.
///
/// # Errors
/// `unauthorized`, `not_found`, `conflict` where neither a password nor a wallet would be left.
#[utoipa::path(delete, path = "/api/v1/identities/{id}", tag = "people",
    params(("id" = String, Path, description = "Its name here.")),
    responses((status = 204, description = "It signs in no more.")))]
pub async fn identity_unlink(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let person = actor.person()?;
    let unlinked = state.accounts.identity_unlink(person, &id, &caller.origin);
    unlinked.await?;
    Ok(StatusCode::NO_CONTENT)
}
