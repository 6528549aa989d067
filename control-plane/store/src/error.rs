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

impl StoreError {
    /// Wraps an error of the operation `op`; made to be used as `.map_err(StoreError::query("node.get"))`.
    pub fn query(op: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |source| Self::Query { op, source }
    }

    /// Whether a unique index refused the statement.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Query { source: sqlx::Error::Database(error), .. } if error.is_unique_violation())
    }
}
