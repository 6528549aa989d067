//! A person's own password: set after an invitation, and changed.

use super::{AccountError, Accounts, Origin, Person};
use crate::app::AccessChange;

/// How long after a sign-in by a link no other proof is asked for, ms: who was invited, or has forgotten it, knows none.
const LINK_FRESH_MS: i64 = 900_000;

impl Accounts {
    /// Gives a person another password, for who knows the one that there is, or has just signed in by a link. Their other
    /// sign-ins end.
    ///
    /// # Errors
    /// [`AccountError::WrongPassword`], [`AccountError::Password`], [`AccountError::Busy`], [`AccountError::TooOften`],
    /// [`AccountError::SessionEnded`] or a fault of the store.
    pub async fn password_set(
        &self,
        person: &Person,
        current: Option<String>,
        password: String,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        self.take_password(&person.user_id)?;
        let stored = self.me(person).await?.user.password_hash;
        if stored.is_some() && !self.is_fresh_by_link(person).await? {
            let current = current.ok_or(AccountError::WrongPassword)?;
            if !self.hasher.verify(current, stored).await? {
                return Err(AccountError::WrongPassword);
            }
        }
        let hash = self.hasher.hash(password).await?;
        let whose = person.audit_name();
        let audit = self.audit(&whose, "user.password", whose.clone(), origin);
        let own = person.own();
        let set = self
            .store
            .password_set(&own, &hash, &person.family_id, &audit);
        if !set.await? {
            return Err(AccountError::SessionEnded);
        }
        self.access
            .tell(AccessChange::Person(person.user_id.clone()));
        Ok(())
    }

    async fn is_fresh_by_link(&self, person: &Person) -> Result<bool, AccountError> {
        let since_ms = self.clock.now_ms() - LINK_FRESH_MS;
        let own = self.session_list(person).await?;
        let current = own.iter().find(|one| one.family_id == person.family_id);
        Ok(current.is_some_and(|one| one.method == "link" && one.created_at_ms >= since_ms))
    }
}
