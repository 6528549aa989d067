//! The audit log's chain: sealing what was written, and checking all of it.
//!
//! Checking needs the database alone, so that it can be done beside a server, and after one. It shows what was changed or removed
//! by whoever could write to the database, but not where all that follows was made anew: for that, a head that was kept elsewhere
//! is compared.

use super::{AccessChange, App};
use dgon_control_plane_model::audit_chain::{Hash, Head, commitment};
use dgon_control_plane_store::audit::{AuditRow, EXPIRED};
use dgon_control_plane_store::{AuditChain, Seal, Store, StoreError, System};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Rows that are sealed in one transaction.
const SEALED_AT_ONCE: i64 = 128;
/// Rows that are checked at once.
const CHECKED_AT_ONCE: i64 = 500;
/// What is older changes nothing for who is here: rows of an older version are many.
const NEWS_MS: i64 = 60_000;
/// How long a row may wait to be sealed while nothing is wrong: as long as a server may be down for an upgrade.
const NOT_SEALED_MS: i64 = 600_000;
/// So many faults are told; more say no more.
const FAULTS_TOLD: usize = 20;
/// What is written when what is known of a person goes: of the person, and of each of their API keys.
pub const ERASED: &str = "user.erase";

/// Why rows are not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The database.
    #[error("rows of the audit log could not be chained; see the cause")]
    Store(#[from] StoreError),
    /// The system.
    #[error("the system gives no random bytes")]
    Randomness,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditFault {
    /// Rows are gone.
    #[error("rows {from} to {to} are missing")]
    Missing {
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
    /// A row, or one before it, is another.
    #[error("row {0} does not follow from the one before: it was changed, or put there")]
    Changed(i64),
    /// What a row says in private is another.
    #[error("the private facts of row {0} were changed")]
    Facts(i64),
    /// What it said is gone, and no row says why.
    #[error("the private facts of row {0} are gone, and no row says that its person was erased")]
    Erased(i64),
    /// The beginning of the log is gone.
    #[error("the log begins at row {0}, and no row says that those before it were too old")]
    Begins(i64),
    /// A row has a number that the chain does not have.
    #[error("row {0} was put beside the chain")]
    Beside(i64),
    /// Rows that should have been chained long ago.
    #[error(
        "{0} rows or more are not chained since ten minutes: no server runs, or its log says why"
    )]
    NotSealed(u64),
    /// The head that was kept is another.
    #[error("row {0} has another hash than the head that you kept: the log was made anew")]
    Noted(i64),
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditCheck {
    /// From where to where the chain goes.
    pub chain: AuditChain,
    /// Rows that were looked at.
    pub rows: u64,
    /// Of which private facts were erased with their person.
    pub erased: u64,
    /// Rows that are not chained yet, as far as they were counted.
    pub not_sealed: u64,
    /// Whether the head that was kept is in what was looked at; `None` where none was given.
    pub noted_found: Option<bool>,
    /// The first faults.
    pub faults: Vec<AuditFault>,
}

impl App {
    /// Seals rows of the audit log; whether there may be more, and for how long that may have held up other writers.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn audit_seal(&self) -> Result<(bool, Duration), SealError> {
        let by = System::of_the_server();
        let from = self.store.audit_chain(by).await?.head;
        let rows = self.store.audit_not_sealed(by, SEALED_AT_ONCE).await?;
        let (mut head, mut seals) = (from, Vec::with_capacity(rows.len()));
        for row in &rows {
            let facts = match &row.facts {
                Some(facts) => {
                    let mut salt = Hash::default();
                    getrandom::fill(&mut salt).map_err(|_| SealError::Randomness)?;
                    Some((salt, commitment(&salt, facts)))
                }
                None => None,
            };
            head = head.after(&row.chained(facts.map(|(_, commitment)| commitment)));
            seals.push(Seal {
                id: row.id,
                facts,
                head,
            });
        }
        let start = Instant::now();
        let is_sealed = self.store.audit_seal(by, from, &seals).await?;
        if is_sealed {
            self.tell_of(&rows);
        }
        self.store.audit_erase(by, self.clock.now_ms()).await?;
        let may_be_more = !is_sealed || seals.len() == SEALED_AT_ONCE as usize;
        Ok((may_be_more, start.elapsed()))
    }

    /// Tells whose access the rows changed. Of old ones nobody needs to hear: a socket looks when it is opened, and by the clock.
    fn tell_of(&self, rows: &[AuditRow]) {
        let since_ms = self.clock.now_ms().saturating_sub(NEWS_MS);
        let news = rows.iter().filter(|row| row.at_ms >= since_ms);
        let changes = news.filter_map(|row| AccessChange::of(&row.action, &row.object));
        changes.for_each(|change| self.access.tell(change));
    }

    /// From where to where the chain goes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_chain(&self) -> Result<AuditChain, StoreError> {
        self.store.audit_chain(System::of_the_server()).await
    }
}

/// Checks the whole log, beside a head that was kept elsewhere; now is unix ms.
///
/// # Errors
/// [`StoreError`].
pub async fn audit_check(
    store: &Store,
    noted: Option<Head>,
    now_ms: i64,
) -> Result<AuditCheck, StoreError> {
    let by = System::of_the_server();
    let mut checking = Checking::new(store.audit_chain(by).await?, noted);
    loop {
        let rows = store
            .audit_sealed_after(by, checking.at.seq, CHECKED_AT_ONCE)
            .await?;
        // Retention may have removed the first ones since the chain was read.
        checking.removed_meanwhile(store.audit_chain(by).await?.removed);
        // What is sealed meanwhile is for the next check.
        let end = checking.check.chain.head.seq;
        let rows: Vec<AuditRow> = rows
            .into_iter()
            .take_while(|row| row.seq.is_some_and(|seq| seq <= end))
            .collect();
        if rows.is_empty() {
            break;
        }
        rows.iter().for_each(|row| checking.row(row));
    }
    // What says why something is gone may be newer than the head that was read.
    let said = Said {
        expired: store.audit_objects(by, EXPIRED).await?,
        erased: store.audit_objects(by, ERASED).await?,
    };
    let chain = store.audit_chain(by).await?;
    let beside = store.audit_beside(by, &chain, CHECKED_AT_ONCE).await?;
    let not_sealed = store.audit_not_sealed(by, CHECKED_AT_ONCE).await?;
    let late = not_sealed
        .iter()
        .filter(|row| row.at_ms < now_ms.saturating_sub(NOT_SEALED_MS));
    let late = late.count() as u64;
    let mut check = checking.end(&said);
    check.not_sealed = not_sealed.len() as u64;
    let faults = beside.into_iter().map(AuditFault::Beside);
    let faults = faults.chain((late > 0).then_some(AuditFault::NotSealed(late)));
    let room = FAULTS_TOLD.saturating_sub(check.faults.len());
    check.faults.extend(faults.take(room));
    Ok(check)
}

/// What the log says of what is not in it.
struct Said {
    /// `audit:NUMBER` of rows that were too old.
    expired: Vec<String>,
    /// `user:ID` of those who were erased, `key:ID` of their API keys.
    erased: Vec<String>,
}

/// A check under way.
struct Checking {
    check: AuditCheck,
    noted: Option<Head>,
    at: Head,
    /// Rows without their facts, with those of whom they are.
    erased: Vec<(i64, [String; 2])>,
}

impl Checking {
    fn new(chain: AuditChain, noted: Option<Head>) -> Self {
        let mut checking = Self {
            check: AuditCheck {
                chain,
                noted_found: noted.map(|_| false),
                ..AuditCheck::default()
            },
            noted,
            at: chain.removed,
            erased: Vec::new(),
        };
        checking.compare();
        checking
    }

    fn removed_meanwhile(&mut self, removed: Head) {
        if self.at.seq < removed.seq {
            self.at = removed;
            self.check.chain.removed = removed;
        }
    }

    fn fault(&mut self, fault: AuditFault) {
        if self.check.faults.len() < FAULTS_TOLD {
            self.check.faults.push(fault);
        }
    }

    fn row(&mut self, row: &AuditRow) {
        let seq = row.seq.unwrap_or_default();
        if seq <= self.at.seq {
            return;
        }
        self.check.rows += 1;
        let is_next = seq == self.at.seq + 1;
        if !is_next {
            self.fault(AuditFault::Missing {
                from: self.at.seq + 1,
                to: seq - 1,
            });
        }
        let said: Option<Hash> = hash_of(row.commitment.as_deref());
        let hash = hash_of(row.hash.as_deref()).unwrap_or_default();
        let is_whole = said.is_some() == row.commitment.is_some();
        // After rows that are missing, nothing says what this one follows from.
        if is_next && (!is_whole || self.at.after(&row.chained(said)).hash != hash) {
            self.fault(AuditFault::Changed(seq));
        }
        self.facts(row, seq, said);
        self.at = Head { seq, hash };
        self.compare();
    }

    fn facts(&mut self, row: &AuditRow, seq: i64, said: Option<Hash>) {
        let Some(facts) = &row.facts else {
            if row.is_erased() {
                self.erased
                    .push((seq, [row.actor.clone(), row.object.clone()]));
            }
            return;
        };
        let salt = hash_of(row.salt.as_deref());
        if salt.map(|salt| commitment(&salt, facts)) != said || said.is_none() {
            self.fault(AuditFault::Facts(seq));
        }
    }

    /// Compares with the head that was kept, where this is its row.
    fn compare(&mut self) {
        let Some(noted) = self.noted.filter(|noted| noted.seq == self.at.seq) else {
            return;
        };
        self.check.noted_found = Some(true);
        if noted.hash != self.at.hash {
            self.fault(AuditFault::Noted(noted.seq));
        }
    }

    fn end(mut self, said: &Said) -> AuditCheck {
        let head = self.check.chain.head;
        // Retention may have passed what was the head.
        if self.at.seq < head.seq {
            self.fault(AuditFault::Missing {
                from: self.at.seq + 1,
                to: head.seq,
            });
        } else if self.at.seq == head.seq && self.at != head {
            self.fault(AuditFault::Changed(head.seq));
        }
        let removed = self.check.chain.removed.seq;
        if removed != 0 && !said.expired.contains(&format!("audit:{removed}")) {
            self.fault(AuditFault::Begins(removed + 1));
        }
        let gone: BTreeSet<&str> = said.erased.iter().map(String::as_str).collect();
        for (seq, whose) in std::mem::take(&mut self.erased) {
            self.check.erased += 1;
            if !whose.iter().any(|who| gone.contains(who.as_str())) {
                self.fault(AuditFault::Erased(seq));
            }
        }
        self.check
    }
}

fn hash_of(bytes: Option<&[u8]>) -> Option<Hash> {
    bytes?.try_into().ok()
}
