//! What a key may be used for. A key can do no more than its owner, and none does what an admin does.
//!
//! | scope | routes (under `/api/v1` unless they begin with `/v1`) | role its owner needs |
//! |---|---|---|
//! | `gateway` | `POST /v1/…`, `GET /v1/models` | consumer |
//! | `usage.read` | own requests, spend and budget; ledger statement | consumer |
//! | `receipts.read` | `GET /receipts`, `/receipts/aggregate`, proofs | consumer, operator |
//! | `leases.read`, `leases.write` | `GET /leases`; quote, rent, extend, cancel | consumer |
//! | `nodes.read` | own nodes, their metrics and dispatch | operator |
//! | `nodes.control` | `POST /nodes/commands` | operator |
//! | `enrolment.write` | `POST /enrolment-tokens`, for machines that set themselves up | operator |
//! | `earnings.read` | `GET /earnings` | operator |
//! | `jobs.read`, `jobs.write` | `GET /jobs`; submit, cancel | consumer, operator |
//!
//! Wallets, payouts, keys, people and settings have no scope: they take a person.

use std::collections::BTreeSet;
use std::fmt;

/// One thing that a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Inference, at the owner's cost.
    Gateway,
    /// What was used and spent.
    UsageRead,
    /// Receipts and their proofs.
    ReceiptsRead,
    /// Own leases.
    LeasesRead,
    /// Rent and give back.
    LeasesWrite,
    /// Own nodes.
    NodesRead,
    /// Commands to own nodes.
    NodesControl,
    /// Tokens that enrol nodes.
    EnrolmentWrite,
    /// Own earnings.
    EarningsRead,
    /// Own jobs.
    JobsRead,
    /// Submit and cancel jobs.
    JobsWrite,
}

/// Why a text is not a set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// None at all.
    #[error("a key needs a scope at least, such as gateway")]
    None,
    /// Not one of ours.
    #[error(
        "there is no such scope; the scopes are gateway, usage.read, receipts.read, leases.read, leases.write, nodes.read, \
         nodes.control, enrolment.write, earnings.read, jobs.read, jobs.write"
    )]
    Unknown,
    /// Twice the same.
    #[error("a scope is given twice")]
    Twice,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 11] = [
        Self::Gateway,
        Self::UsageRead,
        Self::ReceiptsRead,
        Self::LeasesRead,
        Self::LeasesWrite,
        Self::NodesRead,
        Self::NodesControl,
        Self::EnrolmentWrite,
        Self::EarningsRead,
        Self::JobsRead,
        Self::JobsWrite,
    ];

    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::UsageRead => "usage.read",
            Self::ReceiptsRead => "receipts.read",
            Self::LeasesRead => "leases.read",
            Self::LeasesWrite => "leases.write",
            Self::NodesRead => "nodes.read",
            Self::NodesControl => "nodes.control",
            Self::EnrolmentWrite => "enrolment.write",
            Self::EarningsRead => "earnings.read",
            Self::JobsRead => "jobs.read",
            Self::JobsWrite => "jobs.write",
        }
    }

    /// Roles of which its owner needs one, in the organisation that the key acts for.
    pub const fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Gateway | Self::UsageRead | Self::LeasesRead | Self::LeasesWrite => &["consumer"],
            Self::NodesRead | Self::NodesControl | Self::EnrolmentWrite | Self::EarningsRead => {
                &["operator"]
            }
            Self::ReceiptsRead | Self::JobsRead | Self::JobsWrite => &["consumer", "operator"],
        }
    }

    /// Whether an owner with these roles may use it. An admin may do what those may whom it is for, for the one
    /// organisation.
    pub fn is_open_to<'a>(self, mut roles: impl Iterator<Item = &'a str>) -> bool {
        roles.any(|role| role == "admin" || self.roles().contains(&role))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(ScopeError::Unknown)
    }
}

/// What a key may be used for: one scope or more. Displayed as names with spaces between, in the order of [`Scope::ALL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads names, in any order.
    ///
    /// # Errors
    /// [`ScopeError`]: there is none, or one is unknown or given twice.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ScopeError> {
        let mut scopes = BTreeSet::new();
        for name in names {
            // No list gets further than the second of one name.
            if !scopes.insert(name.parse()?) {
                return Err(ScopeError::Twice);
            }
        }
        if scopes.is_empty() {
            return Err(ScopeError::None);
        }
        Ok(Self(scopes))
    }

    /// Whether a key with these may be used for that.
    pub fn has(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Each of them, in the order of [`Scope::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Scope::as_str).collect();
        f.write_str(&names.join(" "))
    }
}

/// Reads what [`Display`](fmt::Display) writes.
impl std::str::FromStr for Scopes {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Err(ScopeError::None);
        }
        Self::parse(text.split(' '))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        let all = Scopes(Scope::ALL.into_iter().collect());
        assert_eq!(all.iter().count(), Scope::ALL.len());
        assert_eq!(all.to_string().parse(), Ok(all.clone()));
        let scopes: Scopes = "nodes.read gateway".parse().unwrap();
        assert_eq!(scopes.to_string(), "gateway nodes.read");
        assert!(scopes.has(Scope::Gateway) && !scopes.has(Scope::NodesControl));
        let unknown = ScopeError::Unknown.to_string();
        assert!(
            Scope::ALL
                .iter()
                .all(|scope| unknown.contains(scope.as_str()))
        );
    }

    #[test]
    fn a_scope_is_open_to_who_has_a_role_of_its_row() {
        let table = include_str!("scope.rs").lines();
        let rows: Vec<&str> = table.filter(|line| line.starts_with("//! | `")).collect();
        for scope in Scope::ALL {
            let name = format!("`{scope}`");
            let row = rows.iter().find(|row| row.contains(&name)).unwrap();
            let told = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            assert_eq!(scope.roles().join(", "), told, "{scope}");
            let open = |roles: &[&'static str]| scope.is_open_to(roles.iter().copied());
            for role in ["consumer", "operator"] {
                assert_eq!(
                    open(&["viewer", role]),
                    told.contains(role),
                    "{scope} {role}"
                );
            }
            assert!(open(&["admin"]), "{scope}");
            assert!(
                !open(&[]) && !open(&["viewer"]) && !open(&["", "Admin"]),
                "{scope}"
            );
        }
    }

    #[test]
    fn what_are_no_scopes_is_refused() {
        for (text, error) in [
            ("", ScopeError::None),
            (" ", ScopeError::Unknown),
            ("admin", ScopeError::Unknown),
            ("Gateway", ScopeError::Unknown),
            ("gateway  nodes.read", ScopeError::Unknown),
            ("gateway,nodes.read", ScopeError::Unknown),
            ("gateway gateway", ScopeError::Twice),
        ] {
            assert_eq!(text.parse::<Scopes>(), Err(error), "{text:?}");
        }
        assert_eq!(Scopes::parse([]), Err(ScopeError::None));
    }
}
