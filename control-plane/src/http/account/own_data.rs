//! All that is kept of you: in one file, and deleted.

use super::api_keys::ApiKeyView;
use super::me::SecondFactorView;
use super::oidc::IdentityView;
use super::users::MembershipView;
use super::wallets::WalletView;
use crate::accounts::OwnData;
use crate::app::views::{AuditEntryView, time};
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::Json;
use crate::http::state::HttpState;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use dgon_control_plane_store::audit::AuditRow;
use dgon_control_plane_store::own_data::{OwnAssignment, PastSession};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All that is kept of you.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Export {
    /// When it was so.
    pub exported_at: String,
    /// Your identity.
    pub user_id: String,
    /// Your address.
    pub email: String,
    /// When the account was made.
    pub created_at: String,
    /// When you signed in last.
    pub last_sign_in_at: Option<String>,
    /// Whether you can sign in with a password. Of it there is a hash, which is not told.
    pub has_password: bool,
    /// The second factor that you are asked for.
    pub second_factor: Option<SecondFactorView>,
    /// What you may do, and for whom.
    pub memberships: Vec<MembershipView>,
    /// Your wallets.
    pub wallets: Vec<WalletView>,
    /// Your accounts at issuers.
    pub identities: Vec<IdentityView>,
    /// Your API keys, the newest first.
    pub keys: Vec<ApiKeyView>,
    /// Nodes that you take care of, those of late first.
    pub assignments: Vec<AssignmentView>,
    /// Your sign-ins, also those that have ended, the newest first.
    pub sessions: Vec<PastSessionView>,
    /// What the audit log has by you and your API keys, the newest first.
    pub done: Vec<AuditEntryView>,
    /// What it has about your account by others, the newest first, without their addresses.
    pub done_to: Vec<AuditEntryView>,
    /// Whether a list was cut: each has the newest 5,000.
    pub is_cut: bool,
}

/// A node that you take care of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssignmentView {
    /// Which.
    pub node_id: String,
    /// Since when.
    pub assigned_at: String,
}

/// A sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PastSessionView {
    /// Its name.
    pub id: String,
    /// How it was proved that it is you.
    pub method: String,
    /// When it began.
    pub created_at: String,
    /// When it ends or ended by itself.
    pub expires_at: String,
    /// When it was ended.
    pub ended_at: Option<String>,
    /// Address of the browser.
    pub ip: Option<String>,
    /// What the browser called itself.
    pub user_agent: Option<String>,
}

/// That you mean it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// Your address, as it stands in your account.
    pub email: String,
    /// Your present password, where you have one.
    #[serde(default)]
    pub current: Option<String>,
}

impl From<OwnAssignment> for AssignmentView {
    fn from(row: OwnAssignment) -> Self {
        Self {
            node_id: row.node_id,
            assigned_at: time(row.assigned_at_ms),
        }
    }
}

impl From<PastSession> for PastSessionView {
    fn from(row: PastSession) -> Self {
        Self {
            id: row.family_id,
            method: row.method,
            created_at: time(row.created_at_ms),
            expires_at: time(row.expires_at_ms),
            ended_at: row.revoked_at_ms.map(time),
            ip: row.ip,
            user_agent: row.user_agent,
        }
    }
}

/// What somebody else did: their address is theirs.
fn by_others(row: &AuditRow) -> AuditEntryView {
    AuditEntryView {
        ip: None,
        ..AuditEntryView::of(row)
    }
}

impl From<OwnData> for Export {
    fn from(data: OwnData) -> Self {
        let user = data.member.user;
        let key = |row| ApiKeyView::of(row, data.at_ms);
        Self {
            exported_at: time(data.at_ms),
            user_id: user.user_id,
            email: user.email,
            created_at: time(user.created_at_ms),
            last_sign_in_at: user.last_sign_in_at_ms.map(time),
            has_password: user.password_hash.is_some(),
            second_factor: data.member.second_factor.map(Into::into),
            memberships: data
                .member
                .memberships
                .into_iter()
                .map(Into::into)
                .collect(),
            wallets: data.wallets.into_iter().map(Into::into).collect(),
            identities: data.identities.into_iter().map(Into::into).collect(),
            keys: data.keys.into_iter().map(key).collect(),
            assignments: data.assignments.into_iter().map(Into::into).collect(),
            sessions: data.sessions.into_iter().map(Into::into).collect(),
            done: data.done.iter().map(AuditEntryView::of).collect(),
            done_to: data.done_to.iter().map(by_others).collect(),
            is_cut: data.is_cut,
        }
    }
}

/// All that is kept of you, as a file. Nodes and receipts are your organisations', and are not in it.
///
/// # Errors
/// `unauthorized`.
#[utoipa::path(get, path = "/api/v1/users/me/export", tag = "people",
    responses((status = 200, description = "All that is kept of you.", body = Export)))]
pub async fn user_export(
    State(state): State<HttpState>,
    actor: Actor,
) -> Result<Response, ApiError> {
    let data = state.accounts.own_data(actor.person()?).await?;
    let name = [(
        header::CONTENT_DISPOSITION,
        "attachment; filename=\"dgon-account.json\"",
    )];
    Ok((name, axum::Json(Export::from(data))).into_response())
}

/// Deletes your account, for good: your sign-ins, wallets and memberships go, and the audit log forgets what it says of you beyond
/// that an account did something. Organisations in which nobody else is are closed.
///
/// # Errors
/// `unauthorized`, `forbidden` more than 15 minutes after signing in, `invalid_request` for another address or password, `conflict` for an
/// admin, and where an organisation in which nobody else is has nodes that are not retired.
#[utoipa::path(delete, path = "/api/v1/users/me", tag = "people", request_body = DeleteRequest,
    responses((status = 204, description = "It is gone, and you are signed out.")))]
pub async fn user_delete(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Json(body): Json<DeleteRequest>,
) -> Result<Response, ApiError> {
    let person = actor.person()?;
    let (accounts, DeleteRequest { email, current }) = (&state.accounts, body);
    let deleted = accounts.account_delete(person, &email, current, &caller.origin);
    deleted.await?;
    Ok((StatusCode::NO_CONTENT, AppendHeaders(state.cookies.clear())).into_response())
}
