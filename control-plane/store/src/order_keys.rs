//! Keys of work orders: the public half of every key that a process of the control plane ever signed with.
//!
//! Whoever has an order or a countersignature verifies it with these, so they are everybody's and stay for ever. Only
//! the end of a key's time is ever changed, and only to an earlier one.

use crate::{Store, StoreError, System, in_tx, on_page};
use dgon_protocol::id::KeyId;
use dgon_protocol::key::PublicKey;
use dgon_protocol::order::OrderKey;

const OP_BEGIN: &str = "order_key.begin";
const OP_LIST: &str = "order_key.list";

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderKeyRow {
    /// The key and its time.
    pub key: OrderKey,
    /// When it was made, unix ms.
    pub created_at_ms: i64,
}

fn row(
    (key, not_before_ms, not_after_ms, created_at_ms): (Vec<u8>, i64, i64, i64),
) -> Result<OrderKeyRow, StoreError> {
    let bytes = key.try_into().map_err(|_| StoreError::Corrupt {
        op: OP_LIST,
        what: "public key",
    })?;
    let public_key = PublicKey::from_bytes(bytes);
    Ok(OrderKeyRow {
        key: OrderKey {
            kid: KeyId::of(&public_key),
            public_key,
            not_before_ms,
            not_after_ms,
        },
        created_at_ms,
    })
}

impl Store {
    /// Keeps a key before anything is signed with it. With `ends_former` all others end at the same moment: this process is the
    /// only one, and nobody has their private halves any more.
    ///
    /// # Errors
    /// [`StoreError::Query`]: then nothing has changed, and the key must not be used.
    pub async fn order_key_begin(
        &self,
        _by: System,
        key: &OrderKey,
        created_at_ms: i64,
        ends_former: bool,
    ) -> Result<(), StoreError> {
        let failed = StoreError::query(OP_BEGIN);
        in_tx!(self, "order_key.begin", tx => {
            if ends_former {
                // A clock that went back must not end a key before its beginning.
                sqlx::query(
                        "UPDATE order_keys SET not_after_ms = CASE WHEN not_before_ms > $1 THEN not_before_ms ELSE $1 END \
                         WHERE not_after_ms > $1")
                    .bind(created_at_ms)
                    .execute(&mut *tx)
                    .await
                    .map_err(&failed)?;
            }
            sqlx::query(
                    "INSERT INTO order_keys (kid, public_key, not_before_ms, not_after_ms, created_at_ms) \
                     VALUES ($1, $2, $3, $4, $5)")
                .bind(key.kid.as_str())
                .bind(key.public_key.as_bytes().as_slice())
                .bind(key.not_before_ms)
                .bind(key.not_after_ms)
                .bind(created_at_ms)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
        });
        Ok(())
    }

    /// Keys that ever were, the newest first, after the one at `before` (when it was made, unix ms, and its name); at most
    /// `limit`. They are everybody's.
    ///
    /// # Errors
    /// [`StoreError::Query`], [`StoreError::Corrupt`].
    pub async fn order_key_list(
        &self,
        _by: System,
        before: Option<(i64, &str)>,
        limit: i64,
    ) -> Result<Vec<OrderKeyRow>, StoreError> {
        let (at_ms, kid) = before.unwrap_or((i64::MAX, ""));
        let rows: Vec<(Vec<u8>, i64, i64, i64)> = on_page!(self, conn => sqlx::query_as(
                "SELECT public_key, not_before_ms, not_after_ms, created_at_ms FROM order_keys \
                 WHERE created_at_ms < $1 OR (created_at_ms = $1 AND kid < $2) \
                 ORDER BY created_at_ms DESC, kid DESC LIMIT $3")
            .bind(at_ms)
            .bind(kid)
            .bind(limit)
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query(OP_LIST))?;
        rows.into_iter().map(row).collect()
    }
}
