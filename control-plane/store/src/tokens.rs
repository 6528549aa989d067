//! Enrolment tokens, and the one transaction that turns a token into a node.
//!
//! A token is stored as its SHA-256 alone. Consuming it, making the node and storing its key happen together
//! or not at all, so a token of `n` uses enrols exactly `n` nodes whatever races.

use crate::{Store, StoreError, in_tx, on_read, on_write};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::Sha256Hash;

/// A token to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// Public name of the token.
    pub id: &'a str,
    /// SHA-256 of the token.
    pub token_hash: &'a [u8; 32],
    /// What its maker calls it.
    pub label: &'a str,
    /// Region of nodes that name none.
    pub region: Option<&'a str>,
    /// Org that the nodes will belong to.
    pub org_id: Option<&'a str>,
    /// Who made it.
    pub created_by: &'a str,
    /// When, unix ms.
    pub created_at_ms: i64,
    /// Until when it works, unix ms.
    pub expires_at_ms: i64,
    /// How many nodes it enrols.
    pub uses: u32,
}

/// A stored token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct TokenRow {
    /// Public name of the token.
    pub id: String,
    /// What its maker calls it.
    pub label: String,
    /// Region of nodes that name none.
    pub region: Option<String>,
    /// Org that the nodes belong to.
    pub org_id: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When, unix ms.
    pub created_at_ms: i64,
    /// Until when it works, unix ms.
    pub expires_at_ms: i64,
    /// How many nodes it enrols in all.
    pub uses_total: i64,
    /// How many are left.
    pub uses_left: i64,
    /// When it was revoked, unix ms.
    pub revoked_at_ms: Option<i64>,
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
}

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
}

impl Store {
    /// Stores a token.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn token_create(&self, token: &NewToken<'_>) -> Result<(), StoreError> {
        on_write!(self, conn => sqlx::query(
                "INSERT INTO enrolment_tokens (id, token_hash, label, region, org_id, created_by, created_at_ms, \
                 expires_at_ms, uses_total, uses_left) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)")
            .bind(token.id)
            .bind(token.token_hash.as_slice())
            .bind(token.label)
            .bind(token.region)
            .bind(token.org_id)
            .bind(token.created_by)
            .bind(token.created_at_ms)
            .bind(token.expires_at_ms)
            .bind(i64::from(token.uses))
            .execute(conn)
            .await
            .map(drop)
            .map_err(StoreError::query("enrolment_token.create")))
    }

    /// The newest tokens.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn token_list(&self, limit: u32) -> Result<Vec<TokenRow>, StoreError> {
        on_read!(self, conn => sqlx::query_as(
                "SELECT id, label, region, org_id, created_by, created_at_ms, expires_at_ms, uses_total, uses_left, \
                 revoked_at_ms FROM enrolment_tokens ORDER BY created_at_ms DESC LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await
            .map_err(StoreError::query("enrolment_token.list")))
    }

    /// Nodes that a token enrolled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn token_nodes(&self, token_id: &str) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = on_read!(self, conn => sqlx::query_as(
                "SELECT node_id FROM nodes WHERE token_id = $1 ORDER BY enrolled_at_ms, node_id")
            .bind(token_id)
            .fetch_all(conn)
            .await
            .map_err(StoreError::query("enrolment_token.nodes")))?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Revokes a token; false when there is none or it was revoked before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn token_revoke(&self, id: &str, at_ms: i64) -> Result<bool, StoreError> {
        on_write!(self, conn => sqlx::query(
                "UPDATE enrolment_tokens SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL")
            .bind(id)
            .bind(at_ms)
            .execute(conn)
            .await
            .map(|done| done.rows_affected() == 1)
            .map_err(StoreError::query("enrolment_token.revoke")))
    }

    /// Consumes one use of the token and makes the node with its key and secret, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrol(
        &self,
        token_hash: &[u8; 32],
        node: &NewNode<'_>,
    ) -> Result<Enrolment, StoreError> {
        const OP: &str = "node.enrol";
        let failed = StoreError::query(OP);
        let region = in_tx!(self, "node.enrol", tx => {
            let token: Option<(String, Option<String>, Option<String>)> = sqlx::query_as(
                    "UPDATE enrolment_tokens SET uses_left = uses_left - 1 \
                     WHERE token_hash = $1 AND uses_left > 0 AND revoked_at_ms IS NULL AND expires_at_ms > $2 \
                     RETURNING id, region, org_id")
                .bind(token_hash.as_slice())
                .bind(node.at_ms)
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            let Some((token_id, token_region, org_id)) = token else {
                return Ok(Enrolment::InvalidToken);
            };
            let region = node.region.map(str::to_owned).or(token_region).unwrap_or_default();
            let made = sqlx::query(
                    "INSERT INTO nodes (node_id, region, state, state_reason, state_since_ms, enrolled_at_ms, org_id, \
                     token_id, agent_version, os, arch, hardware_hash) \
                     VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING")
                .bind(node.node_id.as_str())
                .bind(&region)
                .bind(State::Registered.as_str())
                .bind(Reason::Enrolled.as_str())
                .bind(node.at_ms)
                .bind(org_id)
                .bind(&token_id)
                .bind(node.agent_version)
                .bind(node.os)
                .bind(node.arch)
                .bind(node.hardware_hash)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            if made.rows_affected() == 0 {
                return Ok(Enrolment::NameTaken);
            }
            let keyed = sqlx::query(
                    "INSERT INTO node_keys (node_id, key_id, public_key, valid_from_ms, head_seq, head_hash) \
                     VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT DO NOTHING")
                .bind(node.node_id.as_str())
                .bind(node.public_key.key_id())
                .bind(node.public_key.as_bytes().as_slice())
                .bind(node.at_ms)
                .bind(Sha256Hash::ZERO.0.as_slice())
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
                    "INSERT INTO lifecycle_events (node_id, at_ms, from_state, to_state, reason, actor, detail) \
                     VALUES ($1, $2, 'none', $3, $4, $5, NULL)")
                .bind(node.node_id.as_str())
                .bind(node.at_ms)
                .bind(State::Registered.as_str())
                .bind(Reason::Enrolled.as_str())
                .bind(format!("token:{token_id}"))
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            region
        });
        Ok(Enrolment::Enrolled { region })
    }
}
