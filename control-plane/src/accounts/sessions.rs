//! A person's own sign-ins: seen, and ended: by signing out, one by one, all but the one in use, and by the next in its browser.

use super::{AccountError, Accounts, Origin, Person, SignedIn, secret};
use crate::app::AccessChange;
use dgon_control_plane_store::own_sessions::OpenSession;
use dgon_control_plane_store::{Scope, System};

/// What an end that its person asked for is called in the audit log, and beside the session.
const REVOKED: (&str, &str) = ("session.revoke", "revoked");

impl Accounts {
    /// A person's sign-ins that last, the one renewed last first.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn session_list(&self, person: &Person) -> Result<Vec<OpenSession>, AccountError> {
        let now_ms = self.clock.now_ms();
        Ok(self.store.session_list(&person.own(), now_ms).await?)
    }

    /// Ends one of a person's sign-ins.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] when it is not theirs, or has ended.
    pub async fn session_end(
        &self,
        person: &Person,
        family_id: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        match self.end_own(person, family_id, origin).await? {
            true => Ok(()),
            false => Err(AccountError::NotFound("session")),
        }
    }

    /// Ends all of a person's sign-ins but the one that asks; how many these were.
    ///
    /// # Errors
    /// A fault of the store; those before it have ended.
    pub async fn sessions_end_others(
        &self,
        person: &Person,
        origin: &Origin,
    ) -> Result<u64, AccountError> {
        let mut ended = 0;
        for session in self.session_list(person).await? {
            if session.family_id != person.family_id {
                ended += u64::from(self.end_own(person, &session.family_id, origin).await?);
            }
        }
        Ok(ended)
    }

    /// Ends the session of a person, or that of a refresh token where the access token has run out.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn sign_out(
        &self,
        person: Option<&Person>,
        refresh: Option<&str>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let ended = match (person, refresh) {
            (Some(person), _) => {
                let whose = (person.family_id.clone(), person.user_id.clone());
                Some((person.own(), whose))
            }
            (None, Some(refresh)) => {
                let (by, token) = (System::of_the_server(), secret::hash(refresh));
                // Whoever has the token may end what it belongs to.
                let found = self.store.session_family_of(by, &token);
                found.await?.map(|whose| (by.into(), whose))
            }
            (None, None) => None,
        };
        if let Some((scope, (family_id, user_id))) = ended {
            let actor = format!("user:{user_id}");
            let how = ("session.sign_out", "sign_out");
            self.end(&scope, &family_id, how, (&actor, origin)).await?;
        }
        Ok(())
    }

    /// Ends the session that a browser had before this one began in it, whoever's it was. `refresh` is what the browser still
    /// has of it. That of a session which ended already does nothing.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn replace(
        &self,
        refresh: &str,
        new: &SignedIn,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let (by, token) = (System::of_the_server(), secret::hash(refresh));
        if let Some((family_id, _)) = self.store.session_family_of(by, &token).await? {
            let actor = new.person.audit_name();
            let how = ("session.replace", "replaced");
            // As when signing out: whoever has the token may end what it belongs to.
            self.end(&by.into(), &family_id, how, (&actor, origin))
                .await?;
        }
        Ok(())
    }

    /// How and when the sign-in that asks began: `method`, and unix ms.
    pub(super) async fn session_began(
        &self,
        person: &Person,
    ) -> Result<(String, i64), AccountError> {
        let own = self.session_list(person).await?;
        let current = own
            .into_iter()
            .find(|one| one.family_id == person.family_id);
        let current = current.ok_or(AccountError::SessionEnded)?;
        Ok((current.method, current.created_at_ms))
    }

    async fn end_own(
        &self,
        person: &Person,
        family_id: &str,
        origin: &Origin,
    ) -> Result<bool, AccountError> {
        let (own, actor) = (person.own(), person.audit_name());
        self.end(&own, family_id, REVOKED, (&actor, origin)).await
    }

    /// Ends a sign-in in scope and tells its sockets; whether it was open. `how` is the action in the audit log and the word
    /// that is kept beside the session; `by` who does it, from where.
    pub(super) async fn end(
        &self,
        scope: &Scope,
        family_id: &str,
        (action, word): (&str, &str),
        (actor, origin): (&str, &Origin),
    ) -> Result<bool, AccountError> {
        let audit = self.audit(actor, action, format!("session:{family_id}"), origin);
        let ended = self.store.session_revoke(scope, family_id, word, &audit);
        let ended = ended.await?;
        // Whoever keeps an old token may not make everybody look.
        if ended {
            self.access
                .tell(AccessChange::Session(family_id.to_owned()));
        }
        Ok(ended)
    }
}
