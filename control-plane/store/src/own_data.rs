//! A person's own data: all of it in one piece, and gone.

use crate::audit::{AuditEntry, AuditFacts, AuditRow, audit_columns, audit_on};
use crate::orgs::{MAIN_ORG, administers, close_org_on};
use crate::users::{lock_admins_on, lock_user_on};
use crate::{Scope, Store, StoreError, System};

const OP_ERASE: &str = "audit.erase";
/// Accounts whose facts are erased in one go.
const ERASED_AT_ONCE: i64 = 16;
/// For so long rows of an account may still be on their way to the log, ms.
const UNDER_WAY_MS: i64 = 60_000;

/// A sign-in, as its person may have it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PastSession {
    /// Its name.
    pub family_id: String,
    /// When it began, unix ms.
    pub created_at_ms: i64,
    /// When it ends or ended by itself, unix ms.
    pub expires_at_ms: i64,
    /// When it was ended, unix ms.
    pub revoked_at_ms: Option<i64>,
    /// How it was proved whose it is.
    pub method: String,
    /// Address of the browser when it began.
    pub ip: Option<String>,
    /// What the browser called itself then.
    pub user_agent: Option<String>,
}

/// A node that a person takes care of.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OwnAssignment {
    /// Which.
    pub node_id: String,
    /// Since when, unix ms.
    pub assigned_at_ms: i64,
}

/// What became of an account to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountDeleted {
    /// It is gone.
    Deleted,
    /// There is none in scope, or it is shut.
    NoUser,
    /// It administers the network.
    Admin,
    /// Nobody else is in this organisation, which still has nodes.
    HasNodes {
        /// What it is called.
        org: String,
        /// How many are not retired.
        nodes: i64,
    },
}

/// Closes an organisation in which nobody else is, in a transaction that has its row, and takes its name away. How many nodes
/// keep it from that: where there are any, the transaction must not be committed.
macro_rules! close_if_alone_on {
    ($tx:expr, $org_id:expr, $user_id:expr, $audit:expr, $op:literal) => {{
        let (org_id, at_ms) = ($org_id, $audit.at_ms);
        let (others,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM memberships WHERE org_id = $1 AND user_id <> $2")
            .bind(org_id)
            .bind($user_id)
            .fetch_one(&mut **$tx)
            .await
            .map_err(StoreError::query($op))?;
        let mut kept_by = None;
        if others == 0 {
            let nodes = close_org_on!($tx, org_id, at_ms, $op);
            kept_by = Some(nodes).filter(|nodes| *nodes > 0);
            // What it and its pools are called, and what is said about them, are its people's own words.
            for statement in [
                "UPDATE pools SET name = pool_id, labels = '{}' WHERE org_id = $1",
                "UPDATE orgs SET name = org_id WHERE org_id = $1",
            ] {
                sqlx::query(statement)
                    .bind(org_id)
                    .execute(&mut **$tx)
                    .await
                    .map_err(StoreError::query($op))?;
            }
            let entry = AuditEntry {
                action: "org.close".to_owned(),
                object: format!("org:{org_id}"),
                facts: AuditFacts {
                    reason: Some("the account of its last member was deleted".to_owned()),
                    ..AuditFacts::default()
                },
                ..$audit.clone()
            };
            audit_on!(&mut **$tx, &entry, $op);
        }
        kept_by
    }};
}

impl Store {
    /// A person's own sign-ins, the newest first, at most `limit`: also those that have ended, as long as they are kept.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_history(
        &self,
        scope: &Scope,
        limit: i64,
    ) -> Result<Vec<PastSession>, StoreError> {
        crate::on_page!(self, pool => sqlx::query_as(
                "SELECT family_id, created_at_ms, expires_at_ms, revoked_at_ms, method, ip, user_agent \
                 FROM session_families WHERE user_id = $1 ORDER BY created_at_ms DESC, family_id LIMIT $2",
            )
            .bind(scope.user_id())
            .bind(limit)
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("session.history")))
    }

    /// The nodes that a person takes care of, those of late first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn assignments_of_person(
        &self,
        scope: &Scope,
        limit: i64,
    ) -> Result<Vec<OwnAssignment>, StoreError> {
        crate::on_page!(self, pool => sqlx::query_as(
                "SELECT node_id, assigned_at_ms FROM node_assignments WHERE user_id = $1 \
                 ORDER BY assigned_at_ms DESC, node_id LIMIT $2",
            )
            .bind(scope.user_id())
            .bind(limit)
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("assignment.of_person")))
    }

    /// What the audit log has by a person or their API keys, and about them by others, each the newest first and at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_of_person(
        &self,
        scope: &Scope,
        limit: i64,
    ) -> Result<[Vec<AuditRow>; 2], StoreError> {
        let user_id = scope.user_id();
        let subject = user_id.map(|user_id| format!("user:{user_id}"));
        let whose = [subject.as_deref(), user_id, subject.as_deref()];
        let mut found = [Vec::new(), Vec::new(), Vec::new()];
        let statements = [
            concat!(
                audit_columns!(),
                " WHERE actor = $1 ORDER BY at_ms DESC, id DESC LIMIT $2"
            ),
            concat!(
                audit_columns!(),
                " WHERE actor IN (SELECT 'key:' || k.id FROM api_keys k WHERE k.user_id = $1) \
                 ORDER BY at_ms DESC, id DESC LIMIT $2"
            ),
            concat!(
                audit_columns!(),
                " WHERE object = $1 AND actor <> $1 ORDER BY at_ms DESC, id DESC LIMIT $2"
            ),
        ];
        for ((found, statement), whose) in found.iter_mut().zip(statements).zip(whose) {
            *found = crate::on_page!(self, pool => sqlx::query_as(statement)
                .bind(whose)
                .bind(limit)
                .fetch_all(pool)
                .await
                .map_err(StoreError::query("audit.of_person"))?);
        }
        let [mut done, by_keys, done_to] = found;
        done.extend(by_keys);
        done.sort_by_key(|row: &AuditRow| std::cmp::Reverse((row.at_ms, row.id)));
        done.truncate(usize::try_from(limit).unwrap_or_default());
        Ok([done, done_to])
    }

    /// Deletes a person's own account with all that belongs to it, and closes organisations in which nobody else is: their
    /// names go, too. What the audit log says of the person and their API keys is erased a moment later, by [`Store::audit_erase`];
    /// each of them has a row that says so, which is `audit` with its object.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn account_delete(
        &self,
        scope: &Scope,
        audit: &AuditEntry,
    ) -> Result<AccountDeleted, StoreError> {
        let user_id = scope.user_id();
        Ok(crate::in_tx!(self, "account.delete", tx => {
            lock_admins_on!(&mut tx, "account.delete");
            let alone: Vec<(String, String)> = sqlx::query_as(
                "SELECT m.org_id, o.name FROM memberships m JOIN orgs o ON o.org_id = m.org_id \
                 WHERE m.user_id = $1 AND o.closed_at_ms IS NULL AND m.org_id <> $2 ORDER BY m.org_id",
            )
            .bind(user_id)
            .bind(MAIN_ORG)
            .fetch_all(&mut *tx)
            .await
            .map_err(StoreError::query("account.delete"))?;
            for (org_id, _) in &alone {
                sqlx::query("UPDATE orgs SET name = name WHERE org_id = $1")
                    .bind(org_id)
                    .execute(&mut *tx)
                    .await
                    .map_err(StoreError::query("account.delete"))?;
            }
            if !lock_user_on!(&mut tx, user_id, "account.delete") {
                return Ok(AccountDeleted::NoUser);
            }
            for (org_id, org) in &alone {
                if let Some(nodes) = close_if_alone_on!(&mut tx, org_id, user_id, audit, "account.delete") {
                    return Ok(AccountDeleted::HasNodes { org: org.clone(), nodes });
                }
            }
            let (admin,): (i64,) = sqlx::query_as(concat!(
                "SELECT COUNT(*) FROM users u JOIN memberships m ON ",
                administers!("u", "m"),
                " WHERE u.user_id = $1"
            ))
            .bind(user_id)
            .fetch_one(&mut *tx)
            .await
            .map_err(StoreError::query("account.delete"))?;
            if admin > 0 {
                return Ok(AccountDeleted::Admin);
            }
            // What was done with the person's keys was done by the person.
            let keys: Vec<(String,)> = sqlx::query_as("SELECT 'key:' || id FROM api_keys WHERE user_id = $1 ORDER BY id")
                .bind(user_id)
                .fetch_all(&mut *tx)
                .await
                .map_err(StoreError::query("account.delete"))?;
            // Labels of theirs are their own words.
            sqlx::query(
                "UPDATE enrolment_tokens SET label = '', revoked_at_ms = COALESCE(revoked_at_ms, $2) \
                 WHERE created_by = 'user:' || $1",
            )
            .bind(user_id)
            .bind(audit.at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("account.delete"))?;
            // In the order in which one refers to the other.
            for statement in [
                "DELETE FROM session_tokens WHERE family_id IN (SELECT family_id FROM session_families WHERE user_id = $1)",
                "DELETE FROM session_families WHERE user_id = $1",
                "DELETE FROM one_time_links WHERE user_id = $1",
                "DELETE FROM node_assignments WHERE user_id = $1",
                "DELETE FROM memberships WHERE user_id = $1",
                "DELETE FROM wallets WHERE user_id = $1",
                "DELETE FROM oidc_identities WHERE user_id = $1",
                "DELETE FROM api_keys WHERE user_id = $1",
                "DELETE FROM recovery_codes WHERE user_id = $1",
                "DELETE FROM second_factors WHERE user_id = $1",
                "DELETE FROM users WHERE user_id = $1",
            ] {
                sqlx::query(statement)
                    .bind(user_id)
                    .execute(&mut *tx)
                    .await
                    .map_err(StoreError::query("account.delete"))?;
            }
            let keys = keys.into_iter().map(|(key,)| key);
            for subject in std::iter::once(audit.object.clone()).chain(keys) {
                sqlx::query("INSERT INTO erasures (subject, asked_at_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(&subject)
                    .bind(audit.at_ms)
                    .execute(&mut *tx)
                    .await
                    .map_err(StoreError::query("account.delete"))?;
                let entry = AuditEntry { object: subject, ..audit.clone() };
                audit_on!(&mut *tx, &entry, "account.delete");
            }
            AccountDeleted::Deleted
        }))
    }

    /// Erases what the audit log says of who deleted their account, and of their API keys, as far as it is sealed; how many rows that were. What they did
    /// to nodes, flags, organisations and other people stays as it was written: who decides something answers for it.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_erase(&self, _by: System, now_ms: i64) -> Result<u64, StoreError> {
        let before_ms = now_ms - UNDER_WAY_MS;
        // Those that only wait for their last rows keep nobody from their turn.
        let asked: Vec<(String, i64)> = crate::on_read!(self, conn => sqlx::query_as(
                "SELECT subject, asked_at_ms FROM erasures WHERE NOT is_swept OR asked_at_ms < $1 \
                 ORDER BY is_swept, asked_at_ms, subject LIMIT $2")
            .bind(before_ms)
            .bind(ERASED_AT_ONCE)
            .fetch_all(conn)
            .await
            .map_err(StoreError::query(OP_ERASE))?);
        let mut erased = 0;
        for (subject, asked_at_ms) in asked {
            erased += crate::in_tx!(self, "audit.erase", tx => {
                let mut rows = 0;
                for statement in [
                    "UPDATE audit SET facts = NULL, salt = NULL WHERE object = $1 AND seq IS NOT NULL AND facts IS NOT NULL",
                    "UPDATE audit SET facts = NULL, salt = NULL WHERE actor = $1 AND seq IS NOT NULL AND facts IS NOT NULL \
                     AND (object LIKE 'session:%' OR object LIKE 'key:%' OR object LIKE 'enrolment_token:%')",
                ] {
                    let done = sqlx::query(statement)
                        .bind(&subject)
                        .execute(&mut *tx)
                        .await
                        .map_err(StoreError::query(OP_ERASE))?;
                    rows += done.rows_affected();
                }
                let last = match asked_at_ms < before_ms {
                    true => "DELETE FROM erasures WHERE subject = $1 AND NOT EXISTS \
                         (SELECT 1 FROM audit a WHERE a.seq IS NULL AND (a.actor = $1 OR a.object = $1))",
                    false => "UPDATE erasures SET is_swept = TRUE WHERE subject = $1",
                };
                sqlx::query(last)
                    .bind(&subject)
                    .execute(&mut *tx)
                    .await
                    .map_err(StoreError::query(OP_ERASE))?;
                rows
            });
        }
        Ok(erased)
    }
}
