//! What is in a private pool: its nodes, and the organisations that it admits.

use crate::audit::{AuditEntry, audit_on};
use crate::enrolment_tokens::open_org_on;
use crate::pools::{MEMBERS, PoolChanged, open_pool_on};
use crate::{Scope, Store, StoreError};
use serde_json::json;

/// Takes a node: its state, organisation and pool.
macro_rules! take_node_on {
    ($tx:expr, $node_id:expr, $op:literal) => {{
        let node: Option<(String, Option<String>, Option<String>)> = sqlx::query_as(
            "UPDATE nodes SET state = state WHERE node_id = $1 RETURNING state, org_id, pool_id",
        )
        .bind($node_id)
        .fetch_optional(&mut **$tx)
        .await
        .map_err(StoreError::query($op))?;
        node
    }};
}

impl Store {
    /// Puts a node of the pool's own organisation into it; from another pool it goes at once, and is nobody else's to see in
    /// between.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn pool_put_node(
        &self,
        scope: &Scope,
        (pool_id, node_id): (&str, &str),
        audit: &AuditEntry,
    ) -> Result<PoolChanged, StoreError> {
        if !scope.is_system() {
            return Ok(PoolChanged::NoPool);
        }
        Ok(crate::in_tx!(self, "pool.put_node", tx => {
            let Some(owner) = open_pool_on!(&mut tx, pool_id, "pool.put_node") else {
                return Ok(PoolChanged::NoPool);
            };
            let Some((state, org_id, before)) = take_node_on!(&mut tx, node_id, "pool.put_node") else {
                return Ok(PoolChanged::NoNode);
            };
            if state == "retired" {
                return Ok(PoolChanged::Retired);
            }
            if org_id.as_ref() != Some(&owner) {
                return Ok(PoolChanged::OtherOrganisation);
            }
            if before.as_deref() == Some(pool_id) {
                return Ok(PoolChanged::Unchanged);
            }
            sqlx::query("UPDATE nodes SET pool_id = $2 WHERE node_id = $1")
                .bind(node_id)
                .bind(pool_id)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("pool.put_node"))?;
            let mut audit = audit.clone();
            audit.facts.before = Some(json!({ "pool_id": before }));
            audit.facts.after = Some(json!({ "pool_id": pool_id }));
            audit_on!(&mut *tx, &audit, "pool.put_node");
            PoolChanged::Changed
        }))
    }

    /// Takes a node out of a pool: from then on it is as public as any.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn pool_take_node(
        &self,
        scope: &Scope,
        (pool_id, node_id): (&str, &str),
        audit: &AuditEntry,
    ) -> Result<PoolChanged, StoreError> {
        if !scope.is_system() {
            return Ok(PoolChanged::NoPool);
        }
        Ok(crate::in_tx!(self, "pool.take_node", tx => {
            if open_pool_on!(&mut tx, pool_id, "pool.take_node").is_none() {
                return Ok(PoolChanged::NoPool);
            }
            let Some((state, _, before)) = take_node_on!(&mut tx, node_id, "pool.take_node") else {
                return Ok(PoolChanged::NoNode);
            };
            if before.as_deref() != Some(pool_id) {
                return Ok(PoolChanged::Unchanged);
            }
            if state == "retired" {
                return Ok(PoolChanged::Retired);
            }
            sqlx::query("UPDATE nodes SET pool_id = NULL WHERE node_id = $1")
                .bind(node_id)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("pool.take_node"))?;
            let mut audit = audit.clone();
            audit.facts.before = Some(json!({ "pool_id": before }));
            audit.facts.after = Some(json!({ "pool_id": null }));
            audit_on!(&mut *tx, &audit, "pool.take_node");
            PoolChanged::Changed
        }))
    }

    /// Admits an organisation to a pool.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn pool_admit(
        &self,
        scope: &Scope,
        (pool_id, org_id): (&str, &str),
        audit: &AuditEntry,
    ) -> Result<PoolChanged, StoreError> {
        if !scope.is_system() {
            return Ok(PoolChanged::NoPool);
        }
        let failed = StoreError::query("pool.admit");
        Ok(crate::in_tx!(self, "pool.admit", tx => {
            let is_open = open_org_on!(&mut tx, org_id, "pool.admit");
            let Some(owner) = open_pool_on!(&mut tx, pool_id, "pool.admit") else {
                return Ok(PoolChanged::NoPool);
            };
            if !is_open {
                return Ok(PoolChanged::NoOrganisation);
            }
            if owner == org_id {
                return Ok(PoolChanged::OwnPool);
            }
            let members: Vec<(String,)> = sqlx::query_as("SELECT org_id FROM pool_members WHERE pool_id = $1")
                .bind(pool_id)
                .fetch_all(&mut *tx)
                .await
                .map_err(&failed)?;
            if members.iter().any(|(member,)| member == org_id) {
                return Ok(PoolChanged::Unchanged);
            }
            if members.len() as i64 >= MEMBERS {
                return Ok(PoolChanged::TooManyMembers);
            }
            sqlx::query("INSERT INTO pool_members (pool_id, org_id, admitted_at_ms, admitted_by) VALUES ($1, $2, $3, $4)")
                .bind(pool_id)
                .bind(org_id)
                .bind(audit.at_ms)
                .bind(&audit.actor)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            audit_on!(&mut *tx, audit, "pool.admit");
            PoolChanged::Changed
        }))
    }

    /// Ends that an organisation is admitted to a pool.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn pool_dismiss(
        &self,
        scope: &Scope,
        (pool_id, org_id): (&str, &str),
        audit: &AuditEntry,
    ) -> Result<PoolChanged, StoreError> {
        if !scope.is_system() {
            return Ok(PoolChanged::NoPool);
        }
        Ok(crate::in_tx!(self, "pool.dismiss", tx => {
            if open_pool_on!(&mut tx, pool_id, "pool.dismiss").is_none() {
                return Ok(PoolChanged::NoPool);
            }
            let ended = sqlx::query("DELETE FROM pool_members WHERE pool_id = $1 AND org_id = $2")
                .bind(pool_id)
                .bind(org_id)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("pool.dismiss"))?;
            if ended.rows_affected() == 0 {
                return Ok(PoolChanged::Unchanged);
            }
            audit_on!(&mut *tx, audit, "pool.dismiss");
            PoolChanged::Changed
        }))
    }
}
