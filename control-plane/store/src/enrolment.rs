//! The one transaction that turns an enrolment token into a node.
//!
//! A token is stored as its SHA-256 alone. Consuming it, making the node and storing its key happen together
//! or not at all, so a token of `n` uses enrols exactly `n` nodes whatever races.

use crate::audit::{AuditEntry, AuditFacts, audit_on};
use crate::{Store, StoreError, System, in_tx};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::Sha256Hash;
use serde_json::{Value, json};

/// The region of a node that nobody gave one.
pub const UNKNOWN_REGION: &str = "unknown";

/// A token that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingToken {
    /// Region of the nodes that it enrols.
    pub region: Option<String>,
}

/// A node that wants to be enrolled; its key is checked already.
#[derive(Debug, Clone, Copy)]
pub struct NewNode<'a> {
    /// Its name.
    pub node_id: &'a NodeId,
    /// Where it says it is; the token's region where this is absent.
    pub region: Option<&'a str>,
    /// Its key.
    pub public_key: &'a PublicKey,
    /// Its HMAC secret, sealed.
    pub sealed_secret: &'a [u8],
    /// Version of its agent.
    pub agent_version: &'a str,
    /// Operating system.
    pub os: &'a str,
    /// Architecture.
    pub arch: &'a str,
    /// Keyed hash over hardware ids.
    pub hardware_hash: Option<&'a str>,
    /// Now, unix ms.
    pub at_ms: i64,
    /// Address of whoever asks.
    pub ip: Option<&'a str>,
    /// The request that asks.
    pub request_id: Option<&'a str>,
}

impl NewNode<'_> {
    /// What the audit log says of it.
    fn audit(&self, action: &str, token_id: &str, after: Value) -> AuditEntry {
        AuditEntry {
            at_ms: self.at_ms,
            actor: format!("token:{token_id}"),
            action: action.to_owned(),
            object: format!("node:{}", self.node_id),
            request_id: self.request_id.map(str::to_owned),
            facts: AuditFacts {
                ip: self.ip.map(str::to_owned),
                after: Some(after),
                ..AuditFacts::default()
            },
        }
    }
}

/// The id, region, organisation and pool of a token of which a use was consumed.
type SpentToken = (String, Option<String>, Option<String>, Option<String>);

/// How an enrolment went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enrolment {
    /// The node exists now, in this region.
    Enrolled {
        /// Where the network has it.
        region: String,
    },
    /// The token is unknown, spent, expired or revoked.
    InvalidToken,
    /// The key was enrolled before.
    KnownKey,
    /// Another node has this name.
    NameTaken,
    /// The node belongs to another organisation than the token.
    OtherOrg,
}

impl Store {
    /// Consumes one use of the token and makes the node with its key and secret, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrol(
        &self,
        _by: System,
        token_hash: &[u8; 32],
        node: &NewNode<'_>,
    ) -> Result<Enrolment, StoreError> {
        const OP: &str = "node.enrol";
        let failed = StoreError::query(OP);
        let region = in_tx!(self, "node.enrol", tx => {
            let token: Option<SpentToken> = sqlx::query_as(
                    "UPDATE enrolment_tokens SET uses_left = uses_left - 1 \
                     WHERE token_hash = $1 AND uses_left > 0 AND revoked_at_ms IS NULL AND expires_at_ms > $2 \
                     AND NOT EXISTS (SELECT 1 FROM orgs o WHERE o.org_id = enrolment_tokens.org_id \
                     AND o.closed_at_ms IS NOT NULL) RETURNING id, region, org_id, pool_id")
                .bind(token_hash.as_slice())
                .bind(node.at_ms)
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            let Some((token_id, token_region, org_id, pool_id)) = token else {
                return Ok(Enrolment::InvalidToken);
            };
            let region = node.region.map(str::to_owned).or(token_region).unwrap_or_else(|| UNKNOWN_REGION.to_owned());
            let made = sqlx::query(
                    "INSERT INTO nodes (node_id, region, state, state_reason, state_since_ms, enrolled_at_ms, org_id, \
                     token_id, agent_version, os, arch, hardware_hash, pool_id) \
                     VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING")
                .bind(node.node_id.as_str())
                .bind(&region)
                .bind(State::Registered.as_str())
                .bind(Reason::Enrolled.as_str())
                .bind(node.at_ms)
                .bind(&org_id)
                .bind(&token_id)
                .bind(node.agent_version)
                .bind(node.os)
                .bind(node.arch)
                .bind(node.hardware_hash)
                .bind(&pool_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            if made.rows_affected() == 0 {
                return Ok(Enrolment::NameTaken);
            }
            let keyed = sqlx::query(
                    "INSERT INTO node_keys (node_id, key_id, public_key, valid_from_ms, head_seq, head_hash, org_id) \
                     VALUES ($1, $2, $3, $4, 0, $5, $6) ON CONFLICT DO NOTHING")
                .bind(node.node_id.as_str())
                .bind(node.public_key.key_id())
                .bind(node.public_key.as_bytes().as_slice())
                .bind(node.at_ms)
                .bind(Sha256Hash::ZERO.0.as_slice())
                .bind(&org_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            if keyed.rows_affected() == 0 {
                return Ok(Enrolment::KnownKey);
            }
            sqlx::query("INSERT INTO node_secrets (node_id, sealed, created_at_ms) VALUES ($1, $2, $3)")
                .bind(node.node_id.as_str())
                .bind(node.sealed_secret)
                .bind(node.at_ms)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            sqlx::query(
                    "INSERT INTO lifecycle_events (node_id, at_ms, from_state, to_state, reason, actor, detail, org_id) \
                     VALUES ($1, $2, 'none', $3, $4, $5, NULL, (SELECT org_id FROM nodes WHERE node_id = $1))")
                .bind(node.node_id.as_str())
                .bind(node.at_ms)
                .bind(State::Registered.as_str())
                .bind(Reason::Enrolled.as_str())
                .bind(format!("token:{token_id}"))
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let mut after = json!({
                "region": region, "org_id": org_id, "key_id": node.public_key.key_id(), "agent_version": node.agent_version,
            });
            if let Some(pool_id) = pool_id {
                after["pool_id"] = json!(pool_id);
            }
            audit_on!(&mut *tx, &node.audit("node.enrol", &token_id, after), "node.enrol");
            region
        });
        Ok(Enrolment::Enrolled { region })
    }

    /// Consumes one use of the token and gives a node that is known by its key a new secret, in one transaction.
    /// State, history and chain stay, and so does the pool of a node that is in one. So does the key: where it is the one of an organisation before, the node is to change it
    /// before it may open a session (`node_transfers`).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrol_again(
        &self,
        _by: System,
        token_hash: &[u8; 32],
        node: &NewNode<'_>,
    ) -> Result<Enrolment, StoreError> {
        const OP: &str = "node.enrol_again";
        let failed = StoreError::query(OP);
        let region = in_tx!(self, "node.enrol_again", tx => {
            let token: Option<(String, Option<String>, Option<String>)> = sqlx::query_as(
                    "UPDATE enrolment_tokens SET uses_left = uses_left - 1 \
                     WHERE token_hash = $1 AND uses_left > 0 AND revoked_at_ms IS NULL AND expires_at_ms > $2 \
                     AND NOT EXISTS (SELECT 1 FROM orgs o WHERE o.org_id = enrolment_tokens.org_id \
                     AND o.closed_at_ms IS NOT NULL) RETURNING id, org_id, pool_id")
                .bind(token_hash.as_slice())
                .bind(node.at_ms)
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            let Some((token_id, org_id, pool_id)) = token else {
                return Ok(Enrolment::InvalidToken);
            };
            // Whoever passes the node on waits, or this sees that they did.
            sqlx::query("UPDATE nodes SET state = state WHERE node_id = $1")
                .bind(node.node_id.as_str())
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let known: Option<(String, Option<String>, i64)> = sqlx::query_as(
                    "SELECT n.region, n.org_id, k.id FROM node_keys k JOIN nodes n ON n.node_id = k.node_id \
                     WHERE k.public_key = $1 AND k.node_id = $2 AND k.valid_to_ms IS NULL AND n.state <> 'retired'")
                .bind(node.public_key.as_bytes().as_slice())
                .bind(node.node_id.as_str())
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            let Some((region, owner, _)) = known else {
                return Ok(Enrolment::KnownKey);
            };
            if owner != org_id {
                return Ok(Enrolment::OtherOrg);
            }
            sqlx::query(
                    "INSERT INTO node_secrets (node_id, sealed, created_at_ms) VALUES ($1, $2, $3) \
                     ON CONFLICT (node_id) DO UPDATE SET sealed = excluded.sealed, created_at_ms = excluded.created_at_ms")
                .bind(node.node_id.as_str())
                .bind(node.sealed_secret)
                .bind(node.at_ms)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let mut after = json!({ "secret": "replaced" });
            // From one pool to another an admin alone moves it: whoever made the token may not show it to others.
            if let Some(pool_id) = pool_id {
                let put = sqlx::query("UPDATE nodes SET pool_id = $2 WHERE node_id = $1 AND pool_id IS NULL")
                    .bind(node.node_id.as_str())
                    .bind(&pool_id)
                    .execute(&mut *tx)
                    .await
                    .map_err(&failed)?;
                if put.rows_affected() == 1 {
                    after["pool_id"] = json!(pool_id);
                }
            }
            audit_on!(&mut *tx, &node.audit("node.enrol_again", &token_id, after), "node.enrol_again");
            region
        });
        Ok(Enrolment::Enrolled { region })
    }

    /// A token that would work now: junk costs a plain read and no write lock; of what exists [`Store::enrol`] decides.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrolment_token_working(
        &self,
        _by: System,
        token_hash: &[u8; 32],
        now_ms: i64,
    ) -> Result<Option<WorkingToken>, StoreError> {
        let found: Option<(Option<String>,)> = crate::on_read!(self, pool => sqlx::query_as(
                "SELECT region FROM enrolment_tokens \
                 WHERE token_hash = $1 AND uses_left > 0 AND revoked_at_ms IS NULL AND expires_at_ms > $2",
            )
            .bind(token_hash.as_slice())
            .bind(now_ms)
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("enrolment_token.working"))?);
        Ok(found.map(|(region,)| WorkingToken { region }))
    }
}
