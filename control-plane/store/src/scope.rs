//! Whose rows a question is about. The first argument of every method of the store, so that a check which somebody
//! forgot does not compile (`xtask/tests/store_methods.rs`).
//!
//! A method takes a [`Scope`] where it is asked on behalf of somebody, and a [`System`] where only the server itself has
//! the question. What a scope means is in the SQL: a row outside of it is as if it did not exist, for a write too.
//!
//! | rows | `System` | `Organisation`, `Owner` | `Stranger` |
//! |---|---|---|---|
//! | nodes in lists, keys, figures of the network | all | those of the org's nodes; the network's sums | all: they are public, trimmed by the view |
//! | receipts, sums of one node | all | those of the org's nodes | none; with `receipt_public` one by its exact id |
//! | a node's lifecycle | all | that of the org's nodes | none |
//! | enrolment tokens | all | the org's; of an owner those that they made, which nothing asks for yet | none |
//! | sign-ins | all | those of the org's people; of an owner their own | none |
//! | flags | all | none | none |

use crate::statement::Statement;

/// Proof that the server itself asks, or somebody who may see everything: ingest, lifecycle, retention, sign-in, the
/// command line, an admin. Which files may make one is a list in `xtask/tests/store_methods.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct System(());

impl System {
    /// The server asks for itself. Nobody's request may lead here unchecked.
    pub const fn of_the_server() -> Self {
        Self(())
    }
}

/// Whose rows. A row outside of it is as if it did not exist. There is no default on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's: an admin's question, or the server's own.
    System(System),
    /// Those of one organisation's nodes and people.
    Organisation(String),
    /// A person's own: their sign-ins and the tokens that they made. Until nodes are assigned to people, the nodes and
    /// receipts of their organisation, as in [`Scope::Organisation`].
    Owner {
        /// The organisation.
        org_id: String,
        /// The person.
        user_id: String,
    },
    /// Nobody is known: what is public.
    Stranger,
}

impl From<System> for Scope {
    fn from(by: System) -> Self {
        Self::System(by)
    }
}

impl Scope {
    /// Whether a row of this organisation is in it; a row of none is in nobody's but the system's.
    pub fn owns(&self, org_id: Option<&str>) -> bool {
        self.is_system() || (org_id.is_some() && org_id == self.org_id())
    }

    /// Whether it is everybody's.
    pub fn is_system(&self) -> bool {
        matches!(self, Self::System(_))
    }

    /// Whether nobody is known, so that what tells whose a row is must be left out.
    pub fn is_stranger(&self) -> bool {
        matches!(self, Self::Stranger)
    }

    /// Whether every public row is in it. With [`Scope::org_id`] for the condition `($1 OR org_id = $2)`.
    pub(crate) fn sees_all_public(&self) -> bool {
        self.is_system() || self.is_stranger()
    }

    /// The organisation whose rows are in it; `None` is no row's in SQL, where nothing equals NULL.
    pub(crate) fn org_id(&self) -> Option<&str> {
        match self {
            Self::Organisation(org_id) | Self::Owner { org_id, .. } => Some(org_id),
            Self::System(_) | Self::Stranger => None,
        }
    }

    /// The person whose own rows alone are in it.
    pub(crate) fn user_id(&self) -> Option<&str> {
        match self {
            Self::Owner { user_id, .. } => Some(user_id),
            Self::System(_) | Self::Organisation(_) | Self::Stranger => None,
        }
    }

    /// That person as the maker of a row.
    pub(crate) fn maker(&self) -> Option<String> {
        self.user_id().map(|user_id| format!("user:{user_id}"))
    }

    /// Appends the condition on rows that are not public; `and_org_id` is such as ` AND r.org_id = `.
    pub(crate) fn push(&self, statement: &mut Statement, and_org_id: &'static str) {
        match self.org_id() {
            Some(org_id) => statement.sql(and_org_id).text(org_id),
            None if self.is_system() => statement,
            None => statement.sql(" AND FALSE"),
        };
    }

    /// Appends the condition on rows that strangers see, too.
    pub(crate) fn push_public(&self, statement: &mut Statement, and_org_id: &'static str) {
        if !self.is_stranger() {
            self.push(statement, and_org_id);
        }
    }
}
