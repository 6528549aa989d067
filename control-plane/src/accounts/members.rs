//! People as admins have them: made, listed, given roles, shut and opened.

use super::page::{self, TimePage};
use super::{AccountError, Accounts, Email, Lane, Origin, Person, Role, Roles, rights, secret};
use crate::app::AccessChange;
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::memberships::NewMembership;
use dgon_control_plane_store::orgs::MAIN_ORG;
use dgon_control_plane_store::users::{AccessChanged, Member, NewUser, UserCreated, UserFilter};
use serde_json::json;

/// An account to make. Without a password its person signs in with a one-time link.
#[derive(Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Address.
    pub email: Email,
    /// To sign in with.
    pub password: Option<String>,
    /// The organisation that they are in.
    pub org_id: String,
    /// What they may do there.
    pub roles: Roles,
}

/// Whether somebody in this organisation can have these roles.
fn check_roles(org_id: &str, roles: &Roles) -> Result<(), AccountError> {
    if roles.iter().next().is_none() {
        return Err(AccountError::Roles(
            "give at least one role, or take the person out of the organisation",
        ));
    }
    if roles.has(Role::Admin) && org_id != MAIN_ORG {
        return Err(AccountError::Roles(
            "admins administer the whole network, so that only members of the organisation main can be one",
        ));
    }
    Ok(())
}

impl Accounts {
    /// Makes a user, for whoever may see all.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`], [`AccountError::Password`], [`AccountError::Roles`], [`AccountError::NotFound`] for an
    /// organisation, or a fault of the store.
    pub async fn user_create(
        &self,
        scope: &Scope,
        new: NewAccount,
        actor: &str,
        origin: &Origin,
    ) -> Result<String, AccountError> {
        check_roles(&new.org_id, &new.roles)?;
        if new.org_id.contains('\0') {
            return Err(AccountError::NotFound("organisation"));
        }
        let password_hash = match new.password {
            Some(password) => {
                let lane = Lane::Known(actor.to_owned());
                Some(self.hasher.hash(password, lane).await?)
            }
            None => None,
        };
        let mut user = self.new_user(new.email, password_hash, &new.org_id, &new.roles)?;
        actor.clone_into(&mut user.membership.created_by);
        let object = format!("user:{}", user.user_id);
        let mut audit = self.audit(actor, "user.create", object, origin);
        audit.facts.after = Some(rights(&user));
        match self.store.user_create(scope, &user, &audit).await? {
            UserCreated::Created => Ok(user.user_id),
            UserCreated::EmailTaken => Err(AccountError::EmailTaken),
            UserCreated::NoOrganisation => Err(AccountError::NotFound("organisation")),
        }
    }

    /// A row for a user who has no name yet in the audit log.
    pub(super) fn new_user(
        &self,
        email: Email,
        password_hash: Option<String>,
        org_id: &str,
        roles: &Roles,
    ) -> Result<NewUser, AccountError> {
        Ok(NewUser {
            user_id: secret::public_id("u")?,
            email: email.into(),
            password_hash,
            created_at_ms: self.clock.now_ms(),
            membership: NewMembership {
                org_id: org_id.to_owned(),
                roles: roles.names(),
                created_by: String::new(),
            },
        })
    }

    /// Somebody, for an admin.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] or a fault of the store.
    pub async fn member(&self, person: &Person, user_id: &str) -> Result<Member, AccountError> {
        let member = self.store.member_get(&person.scope(), user_id).await?;
        member.ok_or(AccountError::NotFound("user"))
    }

    /// The person who asks, with all that they are in.
    ///
    /// # Errors
    /// [`AccountError::SessionEnded`] or a fault of the store.
    pub async fn me(&self, person: &Person) -> Result<Member, AccountError> {
        let member = self
            .store
            .member_get(&person.own(), &person.user_id)
            .await?;
        member.ok_or(AccountError::SessionEnded)
    }

    /// People, for an admin, the newest first.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn member_list(
        &self,
        person: &Person,
        filter: &UserFilter,
        before: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<TimePage<Member>, AccountError> {
        let scope = person.scope();
        let rows = self
            .store
            .member_list(&scope, filter, before, page::asked(limit));
        Ok(TimePage::cut(rows.await?, limit, |member| {
            (member.user.created_at_ms, member.user.user_id.clone())
        }))
    }

    /// Shuts or opens an account. Shutting ends its sign-ins, links and enrolment tokens for good.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::LastAdmin`] or a fault of the store.
    pub async fn user_disable(
        &self,
        person: &Person,
        user_id: &str,
        is_disabled: bool,
        reason: Option<&str>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let action = if is_disabled {
            "user.disable"
        } else {
            "user.enable"
        };
        let object = format!("user:{user_id}");
        let mut audit = self.audit(&person.audit_name(), action, object, origin);
        audit.facts.reason = reason.map(str::to_owned);
        audit.facts.before = Some(json!({ "is_disabled": !is_disabled }));
        audit.facts.after = Some(json!({ "is_disabled": is_disabled }));
        let scope = person.scope();
        let changed = self
            .store
            .user_disable(&scope, user_id, is_disabled, &audit)
            .await?;
        self.access_changed(changed, user_id)
    }

    /// Gives somebody these roles in an organisation, in place of those that they had there.
    ///
    /// # Errors
    /// [`AccountError::Roles`], [`AccountError::NotFresh`], [`AccountError::NotFound`], [`AccountError::LastAdmin`] or a fault of the
    /// store.
    pub async fn membership_set(
        &self,
        person: &Person,
        user_id: &str,
        (org_id, roles): (&str, &Roles),
        reason: Option<&str>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        check_roles(org_id, roles)?;
        if roles.has(Role::Admin) {
            // Whoever administers the network opens every account of it.
            self.must_be_fresh(person).await?;
        }
        let actor = person.audit_name();
        let object = format!("user:{user_id}");
        let mut audit = self.audit(&actor, "membership.set", object, origin);
        audit.facts.reason = reason.map(str::to_owned);
        let new = NewMembership {
            org_id: org_id.to_owned(),
            roles: roles.names(),
            created_by: actor,
        };
        let scope = person.scope();
        let changed = self
            .store
            .membership_set(&scope, user_id, &new, &audit)
            .await?;
        self.access_changed(changed, user_id)
    }

    /// Takes somebody out of an organisation.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::LastAdmin`] or a fault of the store.
    pub async fn membership_remove(
        &self,
        person: &Person,
        user_id: &str,
        org_id: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let object = format!("user:{user_id}");
        let audit = self.audit(&person.audit_name(), "membership.remove", object, origin);
        let scope = person.scope();
        let changed = self
            .store
            .membership_remove(&scope, user_id, org_id, &audit)
            .await?;
        match changed {
            AccessChanged::NoUser => Err(AccountError::NotFound("membership")),
            changed => self.access_changed(changed, user_id),
        }
    }

    /// Tells whoever acts for this person, where something changed.
    fn access_changed(&self, changed: AccessChanged, user_id: &str) -> Result<(), AccountError> {
        match changed {
            AccessChanged::Changed => {
                self.access.tell(AccessChange::Person(user_id.to_owned()));
                Ok(())
            }
            AccessChanged::Unchanged => Ok(()),
            AccessChanged::NoUser => Err(AccountError::NotFound("user")),
            AccessChanged::NoOrganisation => Err(AccountError::NotFound("organisation")),
            AccessChanged::LastAdmin => Err(AccountError::LastAdmin),
        }
    }
}
