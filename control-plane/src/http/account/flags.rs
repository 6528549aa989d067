//! Feature flags.

use crate::accounts::{FLAGS, Flags, Role};
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path};
use crate::http::state::HttpState;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One feature flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FlagView {
    /// Name.
    pub name: String,
    /// Value.
    pub enabled: bool,
    /// Value until an admin changes it.
    pub default: bool,
    /// What it opens or shuts.
    pub meaning: String,
    /// False while the product has no place where the value would matter.
    pub in_effect: bool,
    /// Why the value changes nothing; `null` when it is in effect.
    pub note: Option<String>,
}

/// All feature flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FlagList {
    /// The flags, by name.
    pub items: Vec<FlagView>,
}

/// A new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagRequest {
    /// Value.
    pub enabled: bool,
}

fn view(flags: &Flags) -> FlagList {
    let items = FLAGS.iter().map(|flag| FlagView {
        name: flag.name.to_owned(),
        enabled: flags.is_on(flag.name),
        default: flag.default,
        meaning: flag.meaning.to_owned(),
        in_effect: flag.without_effect.is_none(),
        note: flag.without_effect.map(str::to_owned),
    });
    FlagList {
        items: items.collect(),
    }
}

/// All feature flags.
///
/// # Errors
/// `unauthorized`, `forbidden`.
#[utoipa::path(get, path = "/api/v1/flags", tag = "admin",
    responses((status = 200, description = "All flags.", body = FlagList)))]
pub async fn flag_list(
    State(state): State<HttpState>,
    actor: Actor,
) -> Result<axum::Json<FlagList>, ApiError> {
    actor.require(&[Role::Admin])?;
    Ok(axum::Json(view(&state.accounts.flags().await?)))
}

/// Sets a feature flag.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`.
#[utoipa::path(put, path = "/api/v1/flags/{name}", tag = "admin", request_body = FlagRequest,
    params(("name" = String, Path, description = "Name of the flag.")),
    responses((status = 200, description = "All flags, with the new value.", body = FlagList)))]
pub async fn flag_set(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<FlagRequest>,
) -> Result<axum::Json<FlagList>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    state
        .accounts
        .flag_set(person, &name, body.enabled, &caller.origin)
        .await?;
    Ok(axum::Json(view(&state.accounts.flags().await?)))
}
