//! A person's own password: set after an invitation, and changed.

use super::{AccountError, Accounts, Lane, Origin, Person};
use crate::app::AccessChange;
use dgon_control_plane_store::System;

/// How long after a sign-in no other proof is asked for, ms. Who was invited by a link, or has forgotten the password, knows
/// none; who only holds a browser that was left signed in may open no way in of their own.
const FRESH_MS: i64 = 900_000;

impl Accounts {
    /// Gives a person another password, for who knows the one that there is, has just signed in by a link, or has none and has
    /// just signed in. Their other sign-ins end.
    ///
    /// # Errors
    /// [`AccountError::WrongPassword`], [`AccountError::NotFresh`], [`AccountError::Password`], [`AccountError::Busy`], [`AccountError::TooOften`],
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
        let (method, began_ms) = self.session_began(person).await?;
        let is_fresh = self.is_fresh(began_ms);
        match (stored.clone(), current) {
            (Some(_), None) if is_fresh && method == "link" => {}
            (Some(_), None) => return Err(AccountError::WrongPassword),
            (None, _) if is_fresh => {}
            (None, _) => return Err(AccountError::NotFresh),
            (stored @ Some(_), Some(current)) => {
                self.must_be_right(person, current, stored, origin).await?;
            }
        }
        let hash = self
            .hasher
            .hash(password, Lane::Known(person.user_id.clone()))
            .await?;
        let whose = person.audit_name();
        let audit = self.audit(&whose, "user.password", whose.clone(), origin);
        let own = person.own();
        let set =
            self.store
                .password_set(&own, (&hash, stored.as_deref()), &person.family_id, &audit);
        if !set.await? {
            return Err(AccountError::SessionEnded);
        }
        self.access
            .tell(AccessChange::Person(person.user_id.clone()));
        Ok(())
    }

    /// For what cannot be undone: whoever only holds a browser knows no password. Who has none has just signed in.
    ///
    /// # Errors
    /// [`AccountError::NotFresh`], [`AccountError::WrongPassword`], [`AccountError::TooOften`], [`AccountError::Busy`] or a fault of
    /// the store.
    pub(super) async fn must_be_they(
        &self,
        person: &Person,
        current: Option<String>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        self.must_be_fresh(person).await?;
        let stored = self.me(person).await?.user.password_hash;
        if stored.is_none() {
            return Ok(());
        }
        self.take_password(&person.user_id)?;
        let current = current.ok_or(AccountError::WrongPassword)?;
        self.must_be_right(person, current, stored, origin).await?;
        self.give_back_password(&person.user_id);
        Ok(())
    }

    async fn must_be_right(
        &self,
        person: &Person,
        current: String,
        stored: Option<String>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        if self
            .hasher
            .verify(current, stored, Lane::Known(person.user_id.clone()))
            .await?
        {
            return Ok(());
        }
        let whose = person.audit_name();
        let entry = self.audit(&whose, "user.password_failed", whose.clone(), origin);
        let by = System::of_the_server();
        self.store.audit_write(by, &entry).await?;
        Err(AccountError::WrongPassword)
    }

    /// For what opens another way in.
    ///
    /// # Errors
    /// [`AccountError::NotFresh`], [`AccountError::SessionEnded`] or a fault of the store.
    pub async fn must_be_fresh(&self, person: &Person) -> Result<(), AccountError> {
        let (_, began_ms) = self.session_began(person).await?;
        match self.is_fresh(began_ms) {
            true => Ok(()),
            false => Err(AccountError::NotFresh),
        }
    }

    /// Whether a sign-in that began then is so new that its person need not prove again who they are.
    fn is_fresh(&self, began_ms: i64) -> bool {
        self.clock.now_ms() - began_ms <= FRESH_MS
    }
}
