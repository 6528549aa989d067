//! Probes: a row for each, from the order to its end.

use crate::{Store, StoreError, System, in_tx};
use dgon_protocol::id::{NodeId, RequestId};

/// A probe that is about to be sent.
#[derive(Debug, Clone)]
pub struct NewProbe {
    /// Its id.
    pub probe_id: String,
    /// Which node is asked.
    pub node_id: NodeId,
    /// The id that its receipt must have.
    pub request_id: RequestId,
    /// The model that is asked for.
    pub model: String,
    /// When, unix ms.
    pub at_ms: i64,
}

/// How a probe went.
#[derive(Debug, Clone)]
pub struct ProbeEnd {
    /// Its id.
    pub probe_id: String,
    /// When, unix ms.
    pub at_ms: i64,
    /// `ok`, `failed`, `no_runtime`, `refused` or `timeout`.
    pub outcome: &'static str,
    /// Why it failed.
    pub message: Option<String>,
    /// Prompt tokens.
    pub tokens_input: i64,
    /// Generated tokens.
    pub tokens_output: i64,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
    /// Total time, ms.
    pub latency_ms: i64,
}

/// A finished probe.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ProbeRow {
    /// When it ended, unix ms.
    pub finished_at_ms: i64,
    /// How it went.
    pub outcome: String,
    /// Why it failed.
    pub message: Option<String>,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
}

impl Store {
    /// Probes are about to be sent, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn probes_started(&self, _by: System, probes: &[NewProbe]) -> Result<(), StoreError> {
        in_tx!(self, "probe.started", tx => for probe in probes {
            sqlx::query(
                "INSERT INTO probes (probe_id, node_id, request_id, started_at_ms, model, org_id) \
                 VALUES ($1, $2, $3, $4, $5, (SELECT org_id FROM nodes WHERE node_id = $2))",
            )
            .bind(probe.probe_id.as_str())
            .bind(probe.node_id.as_str())
            .bind(probe.request_id.as_str())
            .bind(probe.at_ms)
            .bind(probe.model.as_str())
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("probe.started"))?;
        });
        Ok(())
    }

    /// Probes ended, in one transaction. One that has ended already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn probes_finished(&self, _by: System, ends: &[ProbeEnd]) -> Result<(), StoreError> {
        in_tx!(self, "probe.finished", tx => for end in ends {
            sqlx::query(
                "UPDATE probes SET finished_at_ms = $2, outcome = $3, message = $4, tokens_input = $5, \
                 tokens_output = $6, ttft_ms = $7, latency_ms = $8 WHERE probe_id = $1 AND finished_at_ms IS NULL",
            )
            .bind(end.probe_id.as_str())
            .bind(end.at_ms)
            .bind(end.outcome)
            .bind(end.message.as_deref())
            .bind(end.tokens_input)
            .bind(end.tokens_output)
            .bind(end.ttft_ms)
            .bind(end.latency_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("probe.finished"))?;
        });
        Ok(())
    }
}
