//! Programs that act with an API key: who they act for, and what they may do.
//!
//! A key is looked up at each request, with what its owner may do at that moment. There is no copy that could be old, so
//! that a key which was revoked, or whose owner lost what it needs, does nothing from the next request on.

use super::{AccountError, Accounts, Role, Roles};
use dgon_control_plane_model::api_key::{
    ApiKey, ApiKeyError, Scope as KeyScope, Scopes, SecretHash,
};
use dgon_control_plane_store::{Scope, System};

/// Why a key is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// It is none.
    #[error(transparent)]
    Text(#[from] ApiKeyError),
    /// No such key was made here, or its secret is another.
    #[error("there is no such API key here; copy the whole of it, or make another in the console")]
    Unknown,
    /// Somebody revoked it.
    #[error("this API key was revoked; make another in the console")]
    Revoked,
    /// It was made for a time that is over.
    #[error("this API key has expired; make another in the console")]
    Expired,
    /// Its owner may do nothing for its organisation any more.
    #[error(
        "this API key does nothing any more: its owner is no longer in the organisation that it acts for, or that is closed"
    )]
    NoOwner,
}

/// A program with a key that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// Public part of the key.
    id: String,
    /// Its owner.
    user_id: String,
    /// The organisation that it acts for.
    org_id: String,
    scopes: Option<Scopes>,
    /// What its owner may do there.
    roles: Roles,
}

impl KeyHolder {
    /// Whether it may be used for this: the key has the scope, and its owner has a role for it now.
    ///
    /// # Errors
    /// [`AccountError::KeyLacks`], [`AccountError::KeyOwnerLacks`].
    pub fn may(&self, scope: KeyScope) -> Result<(), AccountError> {
        if !self.scopes.as_ref().is_some_and(|all| all.has(scope)) {
            return Err(AccountError::KeyLacks(scope));
        }
        match scope.is_open_to(self.roles.iter().map(Role::as_str)) {
            true => Ok(()),
            false => Err(AccountError::KeyOwnerLacks(scope)),
        }
    }

    /// Whose rows: those of the one organisation, where its owner operates it. Never everybody's: an admin's key is an
    /// operator's.
    pub fn scope(&self) -> Scope {
        match self.roles.has(Role::Operator) || self.roles.has(Role::Admin) {
            true => Scope::Organisation(self.org_id.clone()),
            false => Scope::Stranger,
        }
    }

    /// The organisation that it acts for.
    pub fn org_id(&self) -> &str {
        &self.org_id
    }

    /// Public part of the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose key it is.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The owner in the audit log.
    pub fn owner(&self) -> String {
        format!("user:{}", self.user_id)
    }

    /// The key in the audit log.
    pub fn audit_name(&self) -> String {
        format!("key:{}", self.id)
    }
}

impl Accounts {
    /// Who acts with a key. Its use is noted, without waiting for that.
    ///
    /// # Errors
    /// [`AccountError::Key`], or a fault of the store.
    pub async fn key_holder(
        &self,
        key: &ApiKey,
        ip: Option<String>,
    ) -> Result<KeyHolder, AccountError> {
        let id = key.id().as_str();
        let now = self.store.api_key_now(System::of_the_server(), id).await?;
        if now.is_none() {
            // Its account was deleted: it is no neighbour of bad keys any more.
            self.key_uses.forget(key);
        }
        let now = now.filter(|now| SecretHash::from_bytes(now.secret_hash) == key.secret_hash());
        let now = now.ok_or(KeyRefused::Unknown)?;
        let now_ms = self.clock.now_ms();
        let roles = match now.roles {
            _ if now.is_revoked => Err(KeyRefused::Revoked),
            _ if now.expires_at_ms <= now_ms => Err(KeyRefused::Expired),
            roles => roles.ok_or(KeyRefused::NoOwner),
        };
        let roles = roles.inspect_err(|_| self.key_uses.forget(key))?;
        self.key_uses.note(key, now_ms, ip);
        Ok(KeyHolder {
            id: id.to_owned(),
            user_id: now.user_id,
            org_id: now.org_id,
            // A scope of a newer version: what the key may do is not known here.
            scopes: now.scopes.parse().ok(),
            roles: Roles::from_names(&roles),
        })
    }

    /// Whether this key was good here a short time ago.
    pub fn was_good(&self, key: &ApiKey) -> bool {
        self.key_uses.has_noted(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(scopes: &str, roles: &[Role]) -> KeyHolder {
        KeyHolder {
            id: "k".into(),
            user_id: "u".into(),
            org_id: "main".into(),
            scopes: scopes.parse().ok(),
            roles: roles.iter().copied().collect(),
        }
    }

    #[test]
    fn a_key_may_do_what_it_and_its_owner_may() {
        let key = holder("nodes.read receipts.read", &[Role::Consumer]);
        assert!(key.may(KeyScope::ReceiptsRead).is_ok());
        let lacks = key.may(KeyScope::Gateway);
        assert!(matches!(
            lacks,
            Err(AccountError::KeyLacks(KeyScope::Gateway))
        ));
        let lacks = key.may(KeyScope::NodesRead);
        assert!(matches!(
            lacks,
            Err(AccountError::KeyOwnerLacks(KeyScope::NodesRead))
        ));
        assert_eq!(key.scope(), Scope::Stranger);
        // What this version does not know opens nothing.
        let newer = holder("nodes.read nodes.paint", &[Role::Operator]);
        assert!(newer.may(KeyScope::NodesRead).is_err());
    }

    #[test]
    fn an_admins_key_sees_one_organisation() {
        let own = Scope::Organisation("main".into());
        for roles in [
            &[Role::Admin][..],
            &[Role::Admin, Role::Operator],
            &[Role::Operator],
        ] {
            assert_eq!(holder("nodes.read", roles).scope(), own, "{roles:?}");
        }
    }
}
