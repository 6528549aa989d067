//! `receipt list` and `receipt show`: the spool of this node, read beside a running agent.

use super::super::{Context, print};
use crate::spool::Stored;
use crate::spool::view::View;
use anyhow::{Context as _, Result, bail};
use dgon_protocol::receipt::{Fields, Receipt};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;

pub(super) fn list(context: &Context, limit: u32, as_json: bool) -> Result<ExitCode> {
    let view = View::of(&context.paths.state.spool_dir());
    let acked_seq = acked_seq(context, &view)?;
    let stored = view
        .newest(usize::try_from(limit)?)
        .context("the spool cannot be read")?;
    if as_json {
        let items: Vec<Value> = stored
            .iter()
            .map(|one| {
                json!({
                    "seq": one.seq,
                    "acknowledged": one.seq <= acked_seq,
                    "receipt": document(one),
                })
            })
            .collect();
        print::json(&json!({"items": items, "acked_seq": acked_seq}))?;
    } else if stored.is_empty() {
        print::out("no receipts yet; send a request through the proxy\n")?;
    } else {
        let head = [
            "SEQ", "REQUEST", "MODEL", "STATUS", "SOURCE", "IN", "OUT", "TTFT", "TOTAL", "NETWORK",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(stored.iter().map(|one| row(one, acked_seq)));
        print::out(&print::table(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(context: &Context, id: &str, raw: bool, as_json: bool) -> Result<ExitCode> {
    let view = View::of(&context.paths.state.spool_dir());
    let Some(one) = find(&view, id).context("the spool cannot be read")? else {
        bail!(
            "the spool has no receipt {}; acknowledged receipts are kept for spool.keep_days, and \
             `dgon-agent receipt list` shows what is there",
            print::safe(id)
        );
    };
    if raw {
        // Exactly the bytes, with nothing after them: their hash is the entry hash.
        std::io::stdout().write_all(&one.entry_bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let acknowledged = one.seq <= acked_seq(context, &view)?;
    let receipt = document(&one);
    if as_json {
        print::json(&json!({
            "seq": one.seq,
            "acknowledged": acknowledged,
            "entry_sha256": dgon_protocol::receipt::Sha256Hash::of(&one.entry_bytes).to_hex(),
            "receipt": receipt,
        }))?;
    } else {
        let network = if acknowledged {
            "the control plane has it"
        } else {
            "it waits for the control plane"
        };
        print::out(&format!(
            "number {} of this node's chain; {network}\n{}\n",
            one.seq,
            serde_json::to_string_pretty(&receipt)?
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Up to which `seq` the control plane has every receipt: the running agent knows best.
fn acked_seq(context: &Context, view: &View) -> Result<u64> {
    let asked = super::super::small_runtime()?
        .block_on(crate::local::acked_seq(&context.paths.state.socket()));
    Ok(view.acked_seq().max(asked.unwrap_or(0)))
}

/// By request id, else by position in the chain.
fn find(view: &View, id: &str) -> std::io::Result<Option<Stored>> {
    if let Some(found) = view.find(id)? {
        return Ok(Some(found));
    }
    let Ok(seq) = id.parse::<u64>() else {
        return Ok(None);
    };
    let mut found = None;
    view.walk_newest_first(|one| {
        let go_on = one.seq > seq;
        if one.seq == seq {
            found = Some(one);
        }
        go_on
    })?;
    Ok(found)
}

/// The receipt as JSON; what is no JSON is said to be damaged rather than dropped.
fn document(one: &Stored) -> Value {
    serde_json::from_slice(&one.entry_bytes).unwrap_or_else(|_| "damaged".into())
}

fn row(one: &Stored, acked_seq: u64) -> Vec<String> {
    let network = if one.seq <= acked_seq {
        "has it"
    } else {
        "waits"
    };
    let Ok(receipt) = Receipt::parse(&one.entry_bytes) else {
        return vec![one.seq.to_string(), "damaged".to_owned()];
    };
    let Fields {
        request_id,
        model_id,
        status,
        source,
        tokens_input,
        tokens_output,
        ttft_ms,
        latency_ms,
        ..
    } = receipt.fields;
    let ms = |value: Option<i64>| print::or_dash(value.map(|ms| format!("{ms} ms")));
    vec![
        one.seq.to_string(),
        request_id.to_string(),
        print::safe(&model_id),
        print::or_dash(status.map(|status| status.as_str())),
        print::or_dash(source.map(|source| source.as_str())),
        tokens_input.to_string(),
        tokens_output.to_string(),
        ms(ttft_ms),
        ms(latency_ms),
        network.to_owned(),
    ]
}
