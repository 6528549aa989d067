//! Whose rows a person may see and change. Decided once per request or live session, applied by every query.

use super::{Person, Role};
use dgon_control_plane_store::{Scope, System};

impl Person {
    /// Whose nodes, receipts and tokens: an admin's are all, an operator's the organisation's. Everybody else sees what
    /// strangers see.
    pub fn scope(&self) -> Scope {
        if self.has(Role::Admin) {
            Scope::from(System::of_the_server())
        } else if self.has(Role::Operator) {
            Scope::Organisation(self.org_id.clone())
        } else {
            Scope::Stranger
        }
    }

    /// What is this person's own whatever their roles: their sign-ins.
    pub fn own(&self) -> Scope {
        Scope::Owner {
            org_id: self.org_id.clone(),
            user_id: self.user_id.clone(),
        }
    }
}
