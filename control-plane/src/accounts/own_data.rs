//! All that is kept of a person: given to them in one piece, and deleted.

use super::{AccountError, Accounts, Origin, OwnIdentity, Person};
use crate::app::{AccessChange, ERASED};
use dgon_control_plane_store::api_keys::ApiKeyRow;
use dgon_control_plane_store::audit::AuditRow;
use dgon_control_plane_store::own_data::{AccountDeleted, OwnAssignment, PastSession};
use dgon_control_plane_store::users::Member;
use dgon_control_plane_store::wallets::Wallet;

/// Most rows of each list in an export: what comes before is left out, and that is said.
pub const EXPORTED_ROWS: usize = 5_000;

/// All that is kept of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnData {
    /// When it was so, unix ms.
    pub at_ms: i64,
    /// The account, and where they may do what.
    pub member: Member,
    /// Their wallets.
    pub wallets: Vec<Wallet>,
    /// Their API keys, the newest first.
    pub keys: Vec<ApiKeyRow>,
    /// Their accounts at issuers.
    pub identities: Vec<OwnIdentity>,
    /// Nodes that they take care of.
    pub assignments: Vec<OwnAssignment>,
    /// Their sign-ins, the newest first.
    pub sessions: Vec<PastSession>,
    /// What they did, the newest first.
    pub done: Vec<AuditRow>,
    /// What others did to their account, the newest first.
    pub done_to: Vec<AuditRow>,
    /// Whether a list was cut at [`EXPORTED_ROWS`].
    pub is_cut: bool,
}

impl Accounts {
    /// All that is kept of a person.
    ///
    /// # Errors
    /// [`AccountError::SessionEnded`] or a fault of the store.
    pub async fn own_data(&self, person: &Person) -> Result<OwnData, AccountError> {
        let own = person.own();
        let limit = EXPORTED_ROWS as i64 + 1;
        let mut sessions = self.store.session_history(&own, limit).await?;
        let [mut done, mut done_to] = self.store.audit_of_person(&own, limit).await?;
        let keys = self.store.api_key_list(&own, &person.user_id, None, limit);
        let mut keys = keys.await?;
        let mut assignments = self.store.assignments_of_person(&own, limit).await?;
        let lengths = [
            sessions.len(),
            done.len(),
            done_to.len(),
            keys.len(),
            assignments.len(),
        ];
        assignments.truncate(EXPORTED_ROWS);
        keys.truncate(EXPORTED_ROWS);
        sessions.truncate(EXPORTED_ROWS);
        done.truncate(EXPORTED_ROWS);
        done_to.truncate(EXPORTED_ROWS);
        Ok(OwnData {
            at_ms: self.clock.now_ms(),
            member: self.me(person).await?,
            wallets: self.store.wallet_list(&own).await?,
            identities: self.identity_list(person).await?,
            keys,
            assignments,
            sessions,
            done,
            done_to,
            is_cut: lengths.iter().any(|length| *length > EXPORTED_ROWS),
        })
    }

    /// Deletes a person's account, for good. `email` is their address, which they typed to show that they mean it.
    ///
    /// # Errors
    /// [`AccountError::NotFresh`], [`AccountError::WrongPassword`], [`AccountError::NotThisEmail`], [`AccountError::AdminStays`],
    /// [`AccountError::OwnNodes`], [`AccountError::SessionEnded`] or a fault of the store.
    pub async fn account_delete(
        &self,
        person: &Person,
        email: &str,
        current: Option<String>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        self.must_be_they(person, current, origin).await?;
        if email.trim().to_lowercase() != person.email {
            return Err(AccountError::NotThisEmail);
        }
        let whose = person.audit_name();
        let mut audit = self.audit(&whose, ERASED, whose.clone(), origin);
        // What names them is erased in a moment: it is not written first.
        audit.facts.ip = None;
        match self.store.account_delete(&person.own(), &audit).await? {
            AccountDeleted::NoUser => Err(AccountError::SessionEnded),
            AccountDeleted::Admin => Err(AccountError::AdminStays),
            AccountDeleted::HasNodes { org, nodes } => Err(AccountError::OwnNodes { org, nodes }),
            AccountDeleted::Deleted => {
                self.access
                    .tell(AccessChange::Person(person.user_id.clone()));
                Ok(())
            }
        }
    }
}
