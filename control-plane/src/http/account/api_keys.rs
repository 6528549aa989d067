//! API keys: made here, shown once, listed without their secret.

use crate::accounts::{IssuedKey, KeyWish, Role};
use crate::app::views::{Page, time};
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path, Query};
use crate::http::paging::{PageParams, cursor};
use crate::http::state::HttpState;
use axum::extract::State;
use dgon_control_plane_model::api_key::{PREFIX, Scope};
use dgon_control_plane_store::api_keys::ApiKeyRow;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::{RefOr, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// What a key may be used for.
#[derive(Debug)]
pub struct ApiKeyScope;

impl PartialSchema for ApiKeyScope {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What an API key may be used for."))
            .enum_values(Some(Scope::ALL.map(Scope::as_str)))
            .into()
    }
}

impl ToSchema for ApiKeyScope {}

/// What a new key shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyRequest {
    /// What you call it: 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// What it may be used for. Of each you need the role yourself, in the organisation that you act for.
    #[schema(value_type = Vec<ApiKeyScope>)]
    pub scopes: Vec<String>,
    /// Ids of the models that it may use, at most 64; all where absent.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub models: Option<Vec<String>>,
    /// What it may spend in all, billionths of a US dollar, as a decimal number in a string; no limit where absent.
    #[serde(default)]
    #[schema(pattern = "^[+]?[0-9]+$")]
    pub budget_nano_usd: Option<String>,
    /// How long it lasts, days, 1 to 366; 30 where absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 366)]
    pub days: Option<u32>,
}

/// Whether a key works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApiKeyState {
    /// It works, for what its owner may do.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked, or its owner lost what it needs.
    Revoked,
    /// The organisation that it acts for is closed.
    Closed,
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiKeyView {
    /// Identity: a part of the key that is no secret.
    pub id: String,
    /// How the key begins, by which it is known again.
    pub prefix: String,
    /// What its owner calls it.
    pub name: String,
    /// Its owner.
    pub user_id: String,
    /// The organisation that it acts for.
    pub org_id: String,
    /// What that is called.
    pub org_name: String,
    /// What it may be used for.
    #[schema(value_type = Vec<ApiKeyScope>)]
    pub scopes: Vec<String>,
    /// The models that it may use; `null` for all.
    pub models: Option<Vec<String>>,
    /// What it may spend in all, billionths of a US dollar; `null` for no limit.
    pub budget_nano_usd: Option<String>,
    /// Whether it works.
    pub state: ApiKeyState,
    /// When it was made.
    pub created_at: String,
    /// First moment at which it works no more.
    pub expires_at: String,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// When it was used last, to the minute; `null` if never.
    pub last_used_at: Option<String>,
    /// From which address.
    pub last_used_ip: Option<String>,
}

/// A key just made.
#[derive(Serialize, ToSchema)]
pub struct ApiKeyCreated {
    /// The whole key: shown this once.
    pub key: String,
    /// The rest.
    #[serde(flatten)]
    pub listed: ApiKeyView,
}

/// Whose keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ApiKeyFilterParams {
    /// For an admin: those of this person. Your own where absent.
    pub user_id: Option<String>,
}

impl ApiKeyRequest {
    fn wish(self) -> Result<KeyWish, ApiError> {
        let wrong = |_| {
            ApiError::invalid("a budget is a whole number of billionths of a dollar, such as \"5000000000\" for five")
                .with("field", "budget_nano_usd")
        };
        let budget = self.budget_nano_usd.map(|text| text.parse::<u64>());
        Ok(KeyWish {
            name: self.name,
            scopes: self.scopes,
            models: self.models,
            budget_nano_usd: budget.transpose().map_err(wrong)?,
            days: self.days,
        })
    }
}

impl ApiKeyView {
    pub(super) fn of(row: ApiKeyRow, now_ms: i64) -> Self {
        let state = if row.revoked_at_ms.is_some() {
            ApiKeyState::Revoked
        } else if row.expires_at_ms <= now_ms {
            ApiKeyState::Expired
        } else if row.org_closed_at_ms.is_some() {
            ApiKeyState::Closed
        } else {
            ApiKeyState::Active
        };
        // Our own types always parse.
        let models = row
            .models
            .map(|text| serde_json::from_str(&text).unwrap_or_default());
        Self {
            prefix: format!("{PREFIX}{}_", row.id),
            id: row.id,
            name: row.name,
            user_id: row.user_id,
            org_id: row.org_id,
            org_name: row.org_name,
            scopes: row.scopes.split(' ').map(str::to_owned).collect(),
            models,
            budget_nano_usd: row.budget_nano_usd.map(|budget| budget.to_string()),
            state,
            created_at: time(row.created_at_ms),
            expires_at: time(row.expires_at_ms),
            revoked_at: row.revoked_at_ms.map(time),
            last_used_at: row.last_used_at_ms.map(time),
            last_used_ip: row.last_used_ip,
        }
    }
}

/// Makes an API key that acts for you in the organisation that you act for now. The key is in this answer alone.
///
/// # Errors
/// `unauthorized`, `invalid_request`; `forbidden` for a scope that you have no role for, and more than 15 minutes after signing
/// in; `conflict` for more than 50 keys, `rate_limited` for more than 20 in an hour.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "keys", request_body = ApiKeyRequest,
    responses((status = 201, description = "The key, shown this once.", body = ApiKeyCreated)))]
pub async fn api_key_create(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Json(body): Json<ApiKeyRequest>,
) -> Result<(StatusCode, axum::Json<ApiKeyCreated>), ApiError> {
    let person = actor.person()?;
    let wish = body.wish()?;
    let made = state.accounts.key_create(person, &wish, &caller.origin);
    let IssuedKey { key, row } = made.await?;
    let created = ApiKeyCreated {
        key: key.to_string(),
        listed: ApiKeyView::of(row, state.app.clock.now_ms()),
    };
    Ok((StatusCode::CREATED, axum::Json(created)))
}

/// Your API keys for all your organisations, the newest first; for an admin those of anybody.
///
/// # Errors
/// `unauthorized`, `invalid_request`, `forbidden` for the keys of somebody else.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "keys", params(ApiKeyFilterParams, PageParams),
    responses((status = 200, description = "A page of keys.", body = Page<ApiKeyView>)))]
pub async fn api_key_list(
    State(state): State<HttpState>,
    actor: Actor,
    Query(filter): Query<ApiKeyFilterParams>,
    Query(page): Query<PageParams>,
) -> Result<axum::Json<Page<ApiKeyView>>, ApiError> {
    let person = actor.person()?;
    let user_id = filter
        .user_id
        .filter(|id| !id.is_empty() && *id != person.user_id);
    if user_id.is_some() {
        actor.require(&[Role::Admin])?;
    }
    let before: Option<(i64, String)> = page.place()?;
    let before = before.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str()));
    let limit = page.rows();
    let page = state
        .accounts
        .key_list(person, user_id.as_deref(), before, limit);
    let page = page.await?;
    let now_ms = state.app.clock.now_ms();
    let items = page
        .items
        .into_iter()
        .map(|row| ApiKeyView::of(row, now_ms));
    Ok(axum::Json(Page {
        items: items.collect(),
        next_cursor: page.next.map(cursor),
        total: None,
    }))
}

/// Revokes one of your API keys, or, for an admin, anybody's: it is refused from its next request on, and enrolment tokens
/// that it made enrol no more nodes.
///
/// # Errors
/// `unauthorized`, `not_found`.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "Identity of the key.")),
    responses((status = 204, description = "The key works no more.")))]
pub async fn api_key_revoke(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let person = actor.person()?;
    state
        .accounts
        .key_revoke(person, &id, &caller.origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
