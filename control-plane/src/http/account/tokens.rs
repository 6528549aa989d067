//! Enrolment tokens: made here, shown once, listed without their secret.

use crate::accounts::{IssuedToken, ListedToken, Role, TokenMaker, TokenWish};
use crate::app::views::{Page, PoolRef, time};
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path, Query};
use crate::http::paging::{PageParams, cursor};
use crate::http::state::HttpState;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const MAKERS: [Role; 2] = [Role::Admin, Role::Operator];

/// What a new token shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentTokenRequest {
    /// What you call it.
    #[serde(default)]
    #[schema(max_length = 100)]
    pub label: Option<String>,
    /// Region of the nodes that it enrols: one of `GET /regions`.
    #[serde(default)]
    pub region: Option<String>,
    /// Private pool of the nodes that it enrols: an open one of your organisation. A node that is enrolled again goes into it, too.
    #[serde(default)]
    pub pool_id: Option<String>,
    /// How many nodes it enrols, 1 to 1000; 1 where absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub uses: Option<u32>,
    /// How long it works, s, 60 to 86400; 3600 where absent.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 86400)]
    pub ttl_s: Option<u32>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EnrolmentToken {
    /// Identity.
    pub id: String,
    /// What its maker calls it.
    pub label: String,
    /// Region of the nodes that it enrols.
    pub region: Option<String>,
    /// Private pool of the nodes that it enrols.
    pub pool: Option<PoolRef>,
    /// Who made it: `user:ID` or `cli`.
    pub created_by: String,
    /// When it was made.
    pub created_at: String,
    /// Last moment of use.
    pub expires_at: String,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// How many nodes it could enrol.
    pub uses_total: i64,
    /// How many more it may enrol.
    pub uses_left: i64,
    /// The nodes that it enrolled.
    pub used_by: Vec<String>,
}

/// A token just made.
#[derive(Serialize, ToSchema)]
pub struct EnrolmentTokenCreated {
    /// The secret: shown this once.
    pub token: String,
    /// The rest.
    #[serde(flatten)]
    pub listed: EnrolmentToken,
}

impl From<ListedToken> for EnrolmentToken {
    fn from(ListedToken { row, used_by }: ListedToken) -> Self {
        Self {
            id: row.id,
            label: row.label,
            region: row.region,
            pool: PoolRef::of(row.pool_id, row.pool_name),
            created_by: row.created_by,
            created_at: time(row.created_at_ms),
            expires_at: time(row.expires_at_ms),
            revoked_at: row.revoked_at_ms.map(time),
            uses_total: row.uses_total,
            uses_left: row.uses_left,
            used_by,
        }
    }
}

impl From<IssuedToken> for EnrolmentTokenCreated {
    fn from(issued: IssuedToken) -> Self {
        Self {
            token: issued.token,
            listed: issued.listed.into(),
        }
    }
}

/// Makes an enrolment token. Its secret is in this answer alone.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`; `conflict` for a pool while private pools are off.
#[utoipa::path(post, path = "/api/v1/enrolment-tokens", tag = "enrolment", request_body = EnrolmentTokenRequest,
    responses((status = 201, description = "The token, shown this once.", body = EnrolmentTokenCreated)))]
pub async fn enrolment_token_create(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Json(body): Json<EnrolmentTokenRequest>,
) -> Result<(StatusCode, axum::Json<EnrolmentTokenCreated>), ApiError> {
    let maker = match &actor {
        Actor::Key(key) => TokenMaker::Key(key),
        Actor::Person(_) | Actor::Anonymous => TokenMaker::Person(actor.require(&MAKERS)?),
    };
    let org_id = actor.org_id()?.unwrap_or_default();
    let wish = TokenWish {
        label: body.label,
        region: body.region,
        pool_id: body.pool_id,
        uses: body.uses,
        ttl_s: body.ttl_s,
    };
    let issued = state
        .accounts
        .token_create(&actor.scope()?, &wish, org_id, maker, &caller.origin)
        .await?;
    Ok((StatusCode::CREATED, axum::Json(issued.into())))
}

/// Enrolment tokens, newest first: all for an admin, those of the own organisation for an operator.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`.
#[utoipa::path(get, path = "/api/v1/enrolment-tokens", tag = "enrolment", params(PageParams),
    responses((status = 200, description = "A page of tokens.", body = Page<EnrolmentToken>)))]
pub async fn enrolment_token_list(
    State(state): State<HttpState>,
    actor: Actor,
    Query(page): Query<PageParams>,
) -> Result<axum::Json<Page<EnrolmentToken>>, ApiError> {
    let person = actor.require(&MAKERS)?;
    let before: Option<(i64, String)> = page.place()?;
    let before = before.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str()));
    let limit = page.rows();
    let page = state.accounts.token_list(person, before, limit).await?;
    Ok(axum::Json(Page {
        items: page.items.into_iter().map(EnrolmentToken::from).collect(),
        next_cursor: page.next.map(cursor),
        total: Some(page.total),
    }))
}

/// Revokes an enrolment token. Nodes that it enrolled stay.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`.
#[utoipa::path(delete, path = "/api/v1/enrolment-tokens/{id}", tag = "enrolment",
    params(("id" = String, Path, description = "Identity of the token.")),
    responses((status = 204, description = "The token enrols no more nodes.")))]
pub async fn enrolment_token_revoke(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let person = actor.require(&MAKERS)?;
    state
        .accounts
        .token_revoke(person, &id, &caller.origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_control_plane_store::memberships::MAKE_TOKENS;

    #[test]
    fn whom_the_door_lets_in_the_store_believes() {
        assert_eq!(MAKERS.map(Role::as_str), MAKE_TOKENS);
    }
}
