//! Whose rows a question is about. The first argument of every method of the store, so that a check which somebody
//! forgot does not compile (`xtask/tests/store_methods.rs`).
//!
//! A method takes a [`Scope`] where it is asked on behalf of somebody, and a [`System`] where only the server itself has
//! the question. What a scope means is in the SQL: a row outside of it is as if it did not exist, for a write too.
//!
//! | rows | `System` | `Organisation` | `Person` | `Stranger` |
//! |---|---|---|---|---|
//! | nodes in lists and by their id, their keys and history | all | all, others' trimmed by the view, but for what another's private pool hides ([`node_sight`](crate::node_sight)) | as a stranger | all that are in no pool, trimmed by the view |
//! | whose a node is, who takes care of it, its probes | all | of the org's nodes | none | none |
//! | receipts, sums of one node | all | those of the org's nodes; with `receipt_public` one by its exact id | as a stranger | none; with `receipt_public` one by its exact id |
//! | changes of a node | all | of the org's nodes | none | none |
//! | enrolment tokens | all | the org's | none | none |
//! | people with what they may do | all | none | themselves | none |
//! | organisations | all | itself | none | none |
//! | private pools | all | the org's, and those that admit it | none | none |
//! | sign-ins, API keys | all | none | their own | none |
//! | flags | all | none | none | none |

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
    /// Those of one organisation.
    Organisation(String),
    /// What is a person's own, whatever they may do: their sign-ins and their account.
    Person(String),
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

    /// Whether nothing of the network is its own.
    pub fn is_stranger(&self) -> bool {
        matches!(self, Self::Stranger | Self::Person(_))
    }

    /// The organisation whose rows are in it; `None` is no row's in SQL, where nothing equals NULL. With [`Scope::is_system`] for
    /// the condition `($1 OR org_id = $2)`.
    pub(crate) fn org_id(&self) -> Option<&str> {
        match self {
            Self::Organisation(org_id) => Some(org_id),
            Self::System(_) | Self::Person(_) | Self::Stranger => None,
        }
    }

    /// The person whose own rows alone are in it.
    pub(crate) fn user_id(&self) -> Option<&str> {
        match self {
            Self::Person(user_id) => Some(user_id),
            Self::System(_) | Self::Organisation(_) | Self::Stranger => None,
        }
    }

    /// Appends the condition on rows that are one's own; `and_org_id` is such as ` AND r.org_id = `.
    pub(crate) fn push(&self, statement: &mut Statement, and_org_id: &'static str) {
        match self.org_id() {
            Some(org_id) => statement.sql(and_org_id).text(org_id),
            None if self.is_system() => statement,
            None => statement.sql(" AND FALSE"),
        };
    }
}
