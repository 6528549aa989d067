//! People as admins have them.

use crate::accounts::{Email, NewAccount, Person, Role, Roles};
use crate::app::views::{Page, time};
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path, Query};
use crate::http::paging::{PageParams, cursor};
use crate::http::reason;
use crate::http::state::HttpState;
use axum::extract::State;
use dgon_control_plane_store::memberships::Membership;
use dgon_control_plane_store::orgs::MAIN_ORG;
use dgon_control_plane_store::users::{Member, UserFilter};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

const SEARCH_MAX: usize = 100;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserView {
    /// Identity.
    pub user_id: String,
    /// Address.
    pub email: String,
    /// When the account was made.
    pub created_at: String,
    /// When they signed in last.
    pub last_sign_in_at: Option<String>,
    /// When the account was disabled; `null` while it is open.
    pub disabled_at: Option<String>,
    /// Since when they are asked for a second factor; `null` where they are asked for none.
    pub second_factor_since: Option<String>,
    /// What they may do, and for whom, in the order in which they joined.
    pub memberships: Vec<MembershipView>,
}

/// A person in an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MembershipView {
    /// The organisation.
    pub org_id: String,
    /// What it is called.
    pub org_name: String,
    /// Whether it is closed: then nobody can act for it.
    pub is_closed: bool,
    /// What they may do there, sorted.
    pub roles: Vec<Role>,
    /// Since when they are in it.
    pub since: String,
    /// Who gave them their present roles: `user:ID`, `cli` or `system`.
    pub by: String,
}

/// A link that signs somebody in.
#[derive(Serialize, ToSchema)]
pub struct SignInLink {
    /// The person.
    pub user_id: String,
    /// Path at the console's address, with the secret in its fragment: shown this once.
    pub path: String,
    /// Last moment of use.
    pub expires_at: String,
}

/// Somebody to invite.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// Address, the name to sign in with.
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@]+@[^@]+$")]
    pub email: String,
    /// The organisation that they are in; that of the network where absent.
    #[serde(default)]
    pub org_id: Option<String>,
    /// What they may do there, at least one. Admins are in the organisation `main` alone.
    #[schema(min_items = 1)]
    pub roles: Vec<Role>,
}

/// What of an account shall be other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Whether it is shut.
    pub disabled: bool,
    /// Why, 1 to 500 characters; needed to shut it.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// What somebody may do in an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MembershipRequest {
    /// At least one.
    #[schema(min_items = 1)]
    pub roles: Vec<Role>,
    /// Why, up to 500 characters.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// Which people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UserFilterParams {
    /// A part of the email address.
    pub q: Option<String>,
    /// Members of this organisation, by its id.
    pub org_id: Option<String>,
}

impl UserFilterParams {
    fn read(self) -> Result<UserFilter, ApiError> {
        let given = |text: Option<String>| {
            let text = text.map(|text| text.trim().to_owned());
            text.filter(|text| !text.is_empty())
        };
        let q = given(self.q).map(|q| q.to_lowercase());
        if q.as_ref().is_some_and(|q| q.chars().count() > SEARCH_MAX) {
            let message = "search for at most 100 characters";
            return Err(ApiError::invalid(message).with("parameter", "q"));
        }
        Ok(UserFilter {
            q,
            org_id: given(self.org_id),
        })
    }
}

impl From<Membership> for MembershipView {
    fn from(row: Membership) -> Self {
        Self {
            org_id: row.org_id,
            org_name: row.org_name,
            is_closed: row.org_closed_at_ms.is_some(),
            roles: Roles::from_names(&row.roles).iter().collect(),
            since: time(row.created_at_ms),
            by: row.created_by,
        }
    }
}

impl From<Member> for UserView {
    fn from(member: Member) -> Self {
        let Member {
            user,
            second_factor,
            memberships,
        } = member;
        Self {
            user_id: user.user_id,
            email: user.email,
            created_at: time(user.created_at_ms),
            last_sign_in_at: user.last_sign_in_at_ms.map(time),
            disabled_at: user.disabled_at_ms.map(time),
            second_factor_since: second_factor.map(|factor| time(factor.since_ms)),
            memberships: memberships.into_iter().map(MembershipView::from).collect(),
        }
    }
}

/// People, the newest first.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`.
#[utoipa::path(get, path = "/api/v1/users", tag = "admin", params(UserFilterParams, PageParams),
    responses((status = 200, description = "A page of people.", body = Page<UserView>)))]
pub async fn user_list(
    State(state): State<HttpState>,
    actor: Actor,
    Query(filter): Query<UserFilterParams>,
    Query(page): Query<PageParams>,
) -> Result<axum::Json<Page<UserView>>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let before: Option<(i64, String)> = page.place()?;
    let before = before.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str()));
    let limit = page.rows();
    let filter = filter.read()?;
    let page = state.accounts.member_list(person, &filter, before, limit);
    let page = page.await?;
    Ok(axum::Json(Page {
        items: page.items.into_iter().map(UserView::from).collect(),
        next_cursor: page.next.map(cursor),
        total: None,
    }))
}

/// A person.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`.
#[utoipa::path(get, path = "/api/v1/users/{user_id}", tag = "admin",
    params(("user_id" = String, Path, description = "Identity of the person.")),
    responses((status = 200, description = "The person.", body = UserView)))]
pub async fn user_detail(
    State(state): State<HttpState>,
    actor: Actor,
    Path(user_id): Path<String>,
) -> Result<axum::Json<UserView>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    user(&state, person, &user_id).await
}

/// Invites somebody: makes an account without a password, and a link that signs in with it once, within a day.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`, `not_found` for the organisation, `conflict` for a known address.
#[utoipa::path(post, path = "/api/v1/users", tag = "admin", request_body = UserRequest,
    responses((status = 201, description = "The link, shown this once.", body = SignInLink)))]
pub async fn user_create(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Json(body): Json<UserRequest>,
) -> Result<(StatusCode, axum::Json<SignInLink>), ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let new = NewAccount {
        email: Email::parse(&body.email)?,
        password: None,
        org_id: body.org_id.unwrap_or_else(|| MAIN_ORG.to_owned()),
        roles: body.roles.into_iter().collect(),
    };
    // Before there is an account that nobody gets a link to.
    state.accounts.must_be_fresh(person).await?;
    let (scope, by) = (person.scope(), person.audit_name());
    let made = state.accounts.user_create(&scope, new, &by, &caller.origin);
    let user_id = made.await?;
    link(&state, person, user_id, &caller).await
}

/// Makes a link that signs somebody in once, within a day. Give it to nobody else: it is as good as their password.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`, `conflict` for an account that is disabled.
#[utoipa::path(post, path = "/api/v1/users/{user_id}/sign-in-link", tag = "admin",
    params(("user_id" = String, Path, description = "Identity of the person.")),
    responses((status = 201, description = "The link, shown this once.", body = SignInLink)))]
pub async fn user_link(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(user_id): Path<String>,
) -> Result<(StatusCode, axum::Json<SignInLink>), ApiError> {
    let person = actor.require(&[Role::Admin])?;
    link(&state, person, user_id, &caller).await
}

/// Disables an account, or enables it again. Disabling ends its sign-ins, links, enrolment tokens and assignments to
/// nodes for good.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`, `invalid_request` without a reason, `conflict` for the last admin.
#[utoipa::path(patch, path = "/api/v1/users/{user_id}", tag = "admin", request_body = UserChange,
    params(("user_id" = String, Path, description = "Identity of the person.")),
    responses((status = 200, description = "The person.", body = UserView)))]
pub async fn user_change(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(user_id): Path<String>,
    Json(body): Json<UserChange>,
) -> Result<axum::Json<UserView>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let reason = match body.disabled {
        true => Some(reason::required(
            body.reason.as_deref().unwrap_or_default(),
        )?),
        false => reason::optional(body.reason.as_deref())?,
    };
    state
        .accounts
        .user_disable(person, &user_id, body.disabled, reason, &caller.origin)
        .await?;
    user(&state, person, &user_id).await
}

/// Gives somebody these roles in an organisation, in place of those that they had there. Where none of them may make enrolment
/// tokens, those that they made there stop to work; and without the role operator or admin they take care of none of its nodes.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`, `invalid_request`, `conflict` for the last admin.
#[utoipa::path(put, path = "/api/v1/users/{user_id}/memberships/{org_id}", tag = "admin",
    request_body = MembershipRequest,
    params(("user_id" = String, Path, description = "Identity of the person."),
        ("org_id" = String, Path, description = "Identity of the organisation.")),
    responses((status = 200, description = "The person.", body = UserView)))]
pub async fn membership_set(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path((user_id, org_id)): Path<(String, String)>,
    Json(body): Json<MembershipRequest>,
) -> Result<axum::Json<UserView>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let reason = reason::optional(body.reason.as_deref())?;
    let roles: Roles = body.roles.into_iter().collect();
    state
        .accounts
        .membership_set(person, &user_id, (&org_id, &roles), reason, &caller.origin)
        .await?;
    user(&state, person, &user_id).await
}

/// Takes somebody out of an organisation. Enrolment tokens that they made there stop to work, and they take care of none of its
/// nodes any more.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`, `conflict` for the last admin.
#[utoipa::path(delete, path = "/api/v1/users/{user_id}/memberships/{org_id}", tag = "admin",
    params(("user_id" = String, Path, description = "Identity of the person."),
        ("org_id" = String, Path, description = "Identity of the organisation.")),
    responses((status = 200, description = "The person.", body = UserView)))]
pub async fn membership_remove(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path((user_id, org_id)): Path<(String, String)>,
) -> Result<axum::Json<UserView>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    state
        .accounts
        .membership_remove(person, &user_id, &org_id, &caller.origin)
        .await?;
    user(&state, person, &user_id).await
}

async fn user(
    state: &HttpState,
    person: &Person,
    user_id: &str,
) -> Result<axum::Json<UserView>, ApiError> {
    let member = state.accounts.member(person, user_id).await?;
    Ok(axum::Json(member.into()))
}

async fn link(
    state: &HttpState,
    person: &Person,
    user_id: String,
    caller: &Caller,
) -> Result<(StatusCode, axum::Json<SignInLink>), ApiError> {
    let link = state
        .accounts
        .invitation(person, &user_id, &caller.origin)
        .await?;
    let body = SignInLink {
        user_id,
        path: link.at(""),
        expires_at: time(link.expires_at_ms()),
    };
    Ok((StatusCode::CREATED, axum::Json(body)))
}
