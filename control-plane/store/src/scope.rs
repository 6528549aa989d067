//! Whose rows a query may see.

/// Whose rows. A row outside of it is as if it did not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    #[default]
    All,
    /// Those of one org's nodes.
    Org(String),
}
