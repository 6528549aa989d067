//! Who may no longer do what they could: told to whoever acts for them for long, such as live sockets.
//!
//! A change of this process is told at once. One of another (`user …` beside the server) is seen in the audit log, which
//! each of them writes with its own transaction, when its rows are chained: within a second.

use tokio::sync::broadcast;

/// Changes that a reader may be behind; one that is behind by more looks for itself.
const KEPT: usize = 256;

/// Whose access is another now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessChange {
    /// A sign-in ended, or acts for another organisation.
    Session(String),
    /// Something about a person is other: roles, or whether they may sign in.
    Person(String),
    /// An organisation was closed.
    Organisation(String),
}

impl AccessChange {
    /// What a row of the audit log changes of anybody's access.
    pub fn of(action: &str, object: &str) -> Option<Self> {
        let (kind, id) = object.split_once(':')?;
        match (kind, action.split_once('.')?) {
            (
                "session",
                (
                    "session",
                    "sign_out" | "reuse" | "too_many" | "revoke" | "replace" | "organisation",
                ),
            ) => Some(Self::Session(id.to_owned())),
            ("user", ("user", verb)) if verb != "create" => Some(Self::Person(id.to_owned())),
            ("user", ("membership", _)) => Some(Self::Person(id.to_owned())),
            ("org", ("org", "close")) => Some(Self::Organisation(id.to_owned())),
            _ => None,
        }
    }
}

/// Tells of changes.
#[derive(Debug, Clone)]
pub struct Access(broadcast::Sender<AccessChange>);

impl Default for Access {
    fn default() -> Self {
        Self(broadcast::channel(KEPT).0)
    }
}

impl Access {
    /// Tells everybody who listens.
    pub fn tell(&self, change: AccessChange) {
        // No listener is no fault.
        let _ = self.0.send(change);
    }

    /// Hears of changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<AccessChange> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_log_say_whose_access_changed() {
        let session = AccessChange::Session("s_1".to_owned());
        for action in ["session.sign_out", "session.replace"] {
            let change = AccessChange::of(action, "session:s_1");
            assert_eq!(change.as_ref(), Some(&session), "{action}");
        }
        let person = AccessChange::Person("u_1".to_owned());
        for action in ["user.disable", "membership.set", "membership.remove"] {
            let change = AccessChange::of(action, "user:u_1");
            assert_eq!(change.as_ref(), Some(&person), "{action}");
        }
        let org = AccessChange::Organisation("o_1".to_owned());
        assert_eq!(AccessChange::of("org.close", "org:o_1"), Some(org));
        for (action, object) in [
            ("session.sign_in", "session:s_1"),
            ("user.create", "user:u_1"),
            ("org.rename", "org:o_1"),
            ("flag.set", "flag:x"),
            ("node.lifecycle", "node:a"),
            ("", ""),
        ] {
            assert_eq!(AccessChange::of(action, object), None, "{action}");
        }
    }
}
