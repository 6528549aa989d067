//! Whose rows a person may see and change. Decided once per request or live session, applied by every query.

use super::{Person, Role};
use dgon_control_plane_store::{Scope, Store, StoreError, System};

impl Person {
    /// Whose nodes, receipts and tokens: an admin's are all, an operator's the organisation's that the session acts for.
    /// Everybody else sees what strangers see.
    pub fn scope(&self) -> Scope {
        match &self.org_id {
            _ if self.has(Role::Admin) => Scope::from(System::of_the_server()),
            Some(org_id) if self.has(Role::Operator) => Scope::Organisation(org_id.clone()),
            _ => Scope::Stranger,
        }
    }

    /// What is this person's own whatever their roles: their sign-ins and their account.
    pub fn own(&self) -> Scope {
        Scope::Person(self.user_id.clone())
    }

    /// This person as the sign-in is now, for whatever lasts longer than a request; `None` where it has ended.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn now(&self, store: &Store, now_ms: i64) -> Result<Option<Self>, StoreError> {
        let own = self.own();
        let session = store.session_now(&own, &self.family_id, now_ms);
        Ok(session.await?.map(Self::from))
    }
}
