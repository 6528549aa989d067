//! A person's own sign-ins: seen, and ended one by one or all but the one in use.

use super::{AccountError, Accounts, Origin, Person};
use crate::app::AccessChange;
use dgon_control_plane_store::own_sessions::OpenSession;

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
        match self.end(person, family_id, origin).await? {
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
                ended += u64::from(self.end(person, &session.family_id, origin).await?);
            }
        }
        Ok(ended)
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

    async fn end(
        &self,
        person: &Person,
        family_id: &str,
        origin: &Origin,
    ) -> Result<bool, AccountError> {
        let object = format!("session:{family_id}");
        let audit = self.audit(&person.audit_name(), "session.revoke", object, origin);
        let own = person.own();
        let ended = self
            .store
            .session_revoke(&own, family_id, "revoked", &audit);
        let ended = ended.await?;
        if ended {
            self.access
                .tell(AccessChange::Session(family_id.to_owned()));
        }
        Ok(ended)
    }
}
