//! What can go wrong between the control plane and its database.

/// A failed database operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database that this program can use.
    #[error("{url:?} is not a database this program can use; give sqlite:PATH or postgres://…")]
    Url {
        /// The URL, without a password.
        url: String,
    },
    /// The database could not be opened.
    #[error("cannot open the database; check that it is reachable and that this user may write it")]
    Open(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database; restore a backup or start the version that made it")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The lock that lets one process at a time set up and migrate could not be taken.
    #[error(
        "cannot lock the database; check that its folder is there and that this user may write it"
    )]
    Lock(#[source] std::io::Error),
    /// Another control plane serves from the database.
    #[error(
        "another control plane serves from this database: {holder}. Two at once would tear the chains of receipts and \
         the states of nodes apart, so this one does not start. Stop the other one, or give this one a database of its \
         own with --data-dir or DATABASE_URL. Other commands, such as token create, work beside it"
    )]
    InUse {
        /// Which.
        holder: String,
    },
    /// A statement failed.
    #[error("the database refused {op}")]
    Query {
        /// Which operation, as `resource.verb`.
        op: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// No connection was free in time.
    #[error(
        "no connection to the database was free in time: it is away, or all of them are in use"
    )]
    Connection(#[source] sqlx::Error),
    /// The database took too long.
    #[error("the database did not finish {op} in time")]
    Slow {
        /// Which operation, as `resource.verb`.
        op: &'static str,
    },
    /// Something has to be written first, and cannot be.
    #[error("{op} waits: {what} cannot be written; the log says why")]
    Behind {
        /// Which operation.
        op: &'static str,
        /// What is to be written first.
        what: &'static str,
    },
    /// A row holds a value that this program never writes.
    #[error(
        "{op} read a {what} that this program never writes; the database was changed by hand or by a newer version"
    )]
    Corrupt {
        /// Which operation.
        op: &'static str,
        /// Which value.
        what: &'static str,
    },
}

/// Whose fault a failed operation is, and so what may be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A value in the rows: they fail again, alone as well, and others do not.
    Data,
    /// A stored row: what touches it fails, and nobody who sends anything is to blame.
    Corrupt,
    /// Another transaction was in the way: the same may pass at once.
    Conflict,
    /// The database: nothing passes until it is well.
    Database,
}

impl StoreError {
    /// Whose fault it is.
    ///
    /// The codes are those of PostgreSQL's appendix "Error Codes" and of SQLite's "Result Codes".
    pub fn fault(&self) -> Fault {
        match self {
            Self::Query {
                source: sqlx::Error::Encode(_),
                ..
            } => Fault::Data,
            Self::Corrupt { .. } => Fault::Corrupt,
            Self::Query {
                source: sqlx::Error::Database(error),
                ..
            } => {
                let code = error.code();
                fault_of_code(code.as_deref().unwrap_or_default())
            }
            _ => Fault::Database,
        }
    }

    /// Wraps an error of the operation `op`; made to be used as `.map_err(StoreError::query("node.get"))`.
    pub fn query(op: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| match &source {
            sqlx::Error::Database(error)
                if error.code().is_some_and(|code| is_interruption(&code)) =>
            {
                Self::Slow { op }
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::Connection(source)
            }
            _ => Self::Query { op, source },
        }
    }

    /// Wraps why no connection was to be had.
    pub(crate) fn connection(source: sqlx::Error) -> Self {
        Self::Connection(source)
    }
}

/// A statement was ended because it took too long: `query_canceled`, `SQLITE_INTERRUPT`.
fn is_interruption(code: &str) -> bool {
    matches!(code, "57014" | "9")
}

/// Five characters are PostgreSQL's SQLSTATE; SQLite has a number, whose low byte is the class.
fn fault_of_code(code: &str) -> Fault {
    if code.len() == 5 {
        return match code {
            "40001" | "40P01" | "55P03" => Fault::Conflict,
            // Bad value, broken constraint, too large for the database; cardinality.
            _ if ["21", "22", "23", "54"].contains(&&code[..2]) => Fault::Data,
            _ => Fault::Database,
        };
    }
    match code.parse::<i32>().map(|code| code & 0xff) {
        // Busy, locked.
        Ok(5 | 6) => Fault::Conflict,
        // Too big, constraint, mismatch, out of range.
        Ok(18 | 19 | 20 | 25) => Fault::Data,
        _ => Fault::Database,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_whose_fault_it_is() {
        for (code, fault) in [
            ("40P01", Fault::Conflict),
            ("40001", Fault::Conflict),
            ("22021", Fault::Data),
            ("54000", Fault::Data),
            ("23514", Fault::Data),
            ("53100", Fault::Database),
            ("57P01", Fault::Database),
            ("5", Fault::Conflict),
            ("517", Fault::Conflict),
            ("18", Fault::Data),
            ("1811", Fault::Data),
            ("13", Fault::Database),
            ("", Fault::Database),
        ] {
            assert_eq!(fault_of_code(code), fault, "{code}");
        }
    }
}
