//! Making a receipt of version 1.1.

use super::{Sha256Hash, Source, Status, TokensSource};
use crate::id::{NodeId, RequestId};
use crate::key::{NodeKey, signature_text};
use crate::limits::INTEGER_MAX;
use crate::strict::write_string;

/// What our agent signs. Fields are in the order of the receipt table; `None` is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Unique in the network.
    pub request_id: RequestId,
    /// This node.
    pub node_id: NodeId,
    /// Where the node says it is.
    pub region: Option<String>,
    /// Start, unix seconds.
    pub ts_start: u64,
    /// End, unix seconds; raised to `ts_start` where a clock jumped back.
    pub ts_end: u64,
    /// Model as the consumer asked for it. Cut to 256 characters; empty becomes `unknown`.
    pub model_id: String,
    /// `sha256:` digest of the weights.
    pub model_hash: Option<String>,
    /// `blake3:` keyed hash of the prompt.
    pub prompt_hash: Option<String>,
    /// Prompt tokens.
    pub tokens_input: u64,
    /// Generated tokens.
    pub tokens_output: u64,
    /// 95th percentile of the gaps between output chunks, ms.
    pub p95_ms: Option<u64>,
    /// Cumulative output token positions.
    pub s3_checkpoints: Vec<u64>,
    /// The request was sent to more than one node.
    pub hedged: bool,
    /// The prompt's prefix came from the cache; `None` where the runtime does not say.
    pub cache_hit: Option<bool>,
    /// Position in the chain, from 1.
    pub seq: u64,
    /// SHA-256 of the previous receipt's entry bytes.
    pub prev_hash: Sha256Hash,
    /// How the request ended.
    pub status: Status,
    /// Time to first token, ms.
    pub ttft_ms: Option<u64>,
    /// Total time, ms.
    pub latency_ms: u64,
    /// The LLM server.
    pub runtime: Option<String>,
    /// Who asked for the work.
    pub source: Source,
    /// Prompt tokens from the cache; `None` where the runtime does not say.
    pub tokens_cached: Option<u64>,
    /// `blake3:` keyed hash of the output.
    pub output_hash: Option<String>,
    /// Energy, thousandths of a watt-hour.
    pub energy_mwh: Option<u64>,
    /// Hash of the gateway's work order.
    pub order_hash: Option<Sha256Hash>,
    /// Where the token counts come from, such as `usage` or `chunks`. A further field of ours.
    pub tokens_source: Option<TokensSource>,
    /// Why the request failed, from a closed list. A further field of ours.
    pub error: Option<&'static str>,
}

/// A signed receipt, ready to store and send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The canonical bytes.
    pub entry_bytes: Vec<u8>,
    /// Their SHA-256: the next receipt's `prev_hash`.
    pub entry_hash: Sha256Hash,
}

/// Writes members in rising key order; the caller keeps the order.
struct Writer {
    out: String,
    signature_at: Option<usize>,
}

impl Writer {
    fn key(&mut self, key: &str) {
        self.out.push(if self.out.is_empty() { '{' } else { ',' });
        write_string(&mut self.out, key);
        self.out.push(':');
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_string(&mut self.out, value);
    }

    fn int(&mut self, key: &str, value: u64) {
        self.key(key);
        self.out
            .push_str(&value.min(INTEGER_MAX as u64).to_string());
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.push_str(if value { "true" } else { "false" });
    }
}

impl Draft {
    /// Signs the receipt and yields its canonical bytes.
    pub fn sign(&self, key: &NodeKey) -> Signed {
        let mut w = Writer {
            out: String::with_capacity(1024),
            signature_at: None,
        };
        self.write(&mut w, &key.public().key_id());
        w.out.push('}');
        let signature = signature_text(&key.sign(w.out.as_bytes()));
        let at = w.signature_at.unwrap_or(1);
        w.out
            .insert_str(at, &format!(",\"signature\":\"{signature}\""));
        let entry_bytes = w.out.into_bytes();
        Signed {
            entry_hash: Sha256Hash::of(&entry_bytes),
            entry_bytes,
        }
    }

    /// Writes every member but the signature, in canonical order, and marks the signature's place.
    fn write(&self, w: &mut Writer, key_id: &str) {
        let optional_text = |w: &mut Writer, key: &str, value: &Option<String>| {
            if let Some(value) = value {
                w.text(key, value);
            }
        };
        let optional_int = |w: &mut Writer, key: &str, value: Option<u64>| {
            if let Some(value) = value {
                w.int(key, value);
            }
        };
        if let Some(hit) = self.cache_hit {
            w.flag("cache_hit", hit);
        }
        optional_int(w, "energy_mwh", self.energy_mwh);
        if let Some(error) = self.error {
            w.text("error", error);
        }
        w.flag("hedged", self.hedged);
        w.text("key_id", key_id);
        w.int("latency_ms", self.latency_ms);
        optional_text(w, "model_hash", &self.model_hash);
        w.text("model_id", &bounded_model_id(&self.model_id));
        w.text("node_id", self.node_id.as_str());
        optional_text(
            w,
            "order_hash",
            &self.order_hash.map(|hash| hash.to_string()),
        );
        optional_text(w, "output_hash", &self.output_hash);
        optional_int(w, "p95_ms", self.p95_ms);
        w.text("prev_hash", &self.prev_hash.to_string());
        optional_text(w, "prompt_hash", &self.prompt_hash);
        optional_text(
            w,
            "region",
            &self.region.as_deref().map(|region| clean(region, 64)),
        );
        w.text("request_id", self.request_id.as_str());
        optional_text(w, "runtime", &self.runtime);
        w.key("s3_checkpoints");
        let positions: Vec<String> = self.s3_checkpoints.iter().map(u64::to_string).collect();
        w.out.push_str(&format!("[{}]", positions.join(",")));
        w.int("seq", self.seq);
        w.signature_at = Some(w.out.len());
        w.text("source", self.source.as_str());
        w.text("status", self.status.as_str());
        optional_int(w, "tokens_cached", self.tokens_cached);
        w.int("tokens_input", self.tokens_input);
        w.int("tokens_output", self.tokens_output);
        if let Some(source) = self.tokens_source {
            w.text("tokens_source", source.as_str());
        }
        w.int("ts_end", self.ts_end.max(self.ts_start));
        w.int("ts_start", self.ts_start);
        optional_int(w, "ttft_ms", self.ttft_ms);
        w.text("version", "1.1");
    }
}

fn bounded_model_id(model_id: &str) -> String {
    if model_id.is_empty() {
        "unknown".to_owned()
    } else {
        clean(model_id, 256)
    }
}

/// A text as a receipt may carry it: what a client writes into its request must not make one that every verifier refuses.
fn clean(text: &str, most: usize) -> String {
    let visible = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().take(most).map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_names_its_model_makes_no_receipt_that_is_refused() {
        assert_eq!(bounded_model_id(""), "unknown");
        assert_eq!(bounded_model_id("x\u{0}y\u{85}z"), "x\u{fffd}y\u{fffd}z");
        assert_eq!(bounded_model_id(&"é".repeat(300)).chars().count(), 256);
        assert_eq!(clean("eu\nwest", 64), "eu\u{fffd}west");
    }
}
