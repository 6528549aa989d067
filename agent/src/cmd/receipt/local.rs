//! `receipt list` and `receipt show`: the spools of this node, read beside a running agent. Receipts of keys that were
//! given up are shown with those of the key in use.

use super::super::{Context, UsageError, print};
use super::since;
use crate::cli::{List, ReceiptStatus};
use crate::identity;
use crate::own_command::own_command;
use crate::rotation::archive::{self, Chain};
use crate::spool::Stored;
use anyhow::{Context as _, Result, bail};
use dgon_protocol::receipt::{Fields, Receipt, Status};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;

const UNREADABLE: &str = "the spool cannot be read";

/// A receipt and its chain.
struct Item {
    stored: Stored,
    key_id: String,
    is_current: bool,
    acknowledged: bool,
}

pub(super) fn list(context: &Context, arguments: &List) -> Result<ExitCode> {
    let filter = Filter::new(arguments)?;
    let chains = chains(context)?;
    let limit = usize::try_from(arguments.limit)?;
    let mut items = Vec::new();
    let acked = acked_seqs(context, &chains)?;
    archive::walk_newest_first(&chains, |chain, stored| {
        if filter.is_past(&stored) {
            return false;
        }
        if filter.fits(&stored) {
            items.push(item(chain, stored, &acked));
        }
        items.len() < limit
    })
    .context(UNREADABLE)?;
    if arguments.json {
        let shown: Vec<Value> = items
            .iter()
            .map(|one| {
                json!({
                    "seq": one.stored.seq,
                    "key_id": one.key_id,
                    "acknowledged": one.acknowledged,
                    "receipt": document(&one.stored),
                })
            })
            .collect();
        let acked_seq = acked.first().copied().unwrap_or(0);
        print::json(&json!({"items": shown, "acked_seq": acked_seq}))?;
    } else if items.is_empty() {
        print::out(if filter.is_open() {
            "no receipts yet; send a request through the proxy\n"
        } else {
            "no receipt fits\n"
        })?;
    } else {
        let head = [
            "SEQ", "REQUEST", "MODEL", "STATUS", "SOURCE", "IN", "OUT", "TTFT", "TOTAL", "NETWORK",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(items.iter().map(row));
        print::out(&print::table(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Which receipts are wanted.
struct Filter<'a> {
    since_s: Option<u64>,
    model: Option<&'a str>,
    status: Option<Status>,
}

impl<'a> Filter<'a> {
    fn new(arguments: &'a List) -> Result<Self> {
        let since_s = match &arguments.since {
            None => None,
            Some(text) => Some(since::parse(text, since::now_s()).map_err(UsageError)?),
        };
        Ok(Self {
            since_s,
            model: arguments.model.as_deref(),
            status: arguments.status.map(|status| match status {
                ReceiptStatus::Ok => Status::Ok,
                ReceiptStatus::Error => Status::Error,
                ReceiptStatus::Cancelled => Status::Cancelled,
            }),
        })
    }

    fn is_open(&self) -> bool {
        self.since_s.is_none() && self.model.is_none() && self.status.is_none()
    }

    /// Whether this receipt and all before it are too old.
    fn is_past(&self, stored: &Stored) -> bool {
        self.since_s
            .is_some_and(|since_s| stored.appended_s < since_s)
    }

    fn fits(&self, stored: &Stored) -> bool {
        if self.model.is_none() && self.status.is_none() {
            return true;
        }
        let Ok(receipt) = Receipt::parse(&stored.entry_bytes) else {
            return false;
        };
        let Fields {
            model_id, status, ..
        } = receipt.fields;
        self.model.is_none_or(|wanted| model_id == wanted)
            && self.status.is_none_or(|wanted| status == Some(wanted))
    }
}

pub(super) fn show(context: &Context, id: &str, raw: bool, as_json: bool) -> Result<ExitCode> {
    let chains = chains(context)?;
    let acked = acked_seqs(context, &chains)?;
    let Some(one) = find(&chains, &acked, id).context(UNREADABLE)? else {
        bail!(
            "the spool has no receipt {}; acknowledged receipts are kept for spool.keep_days, and \
             `{}` shows what is there",
            print::safe(id),
            own_command("receipt list")
        );
    };
    if raw {
        // Exactly the bytes, with nothing after them: their hash is the entry hash.
        std::io::stdout().write_all(&one.stored.entry_bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let receipt = document(&one.stored);
    if as_json {
        print::json(&json!({
            "seq": one.stored.seq,
            "key_id": one.key_id,
            "acknowledged": one.acknowledged,
            "entry_sha256": dgon_protocol::receipt::Sha256Hash::of(&one.stored.entry_bytes).to_hex(),
            "receipt": receipt,
        }))?;
    } else {
        let network = if one.acknowledged {
            "the control plane has it"
        } else {
            "it waits for the control plane"
        };
        let chain = if one.is_current {
            "this node's chain".to_owned()
        } else {
            format!("the chain of the former key {}", one.key_id)
        };
        print::out(&format!(
            "number {} of {chain}; {network}\n{}\n",
            one.stored.seq,
            serde_json::to_string_pretty(&receipt)?
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn chains(context: &Context) -> Result<Vec<Chain>> {
    let state = &context.paths.state;
    let key = identity::load_key(state)?.public();
    Ok(archive::chains(state, key)?)
}

/// Up to which `seq` the control plane has every receipt, of each chain: of the one in use the running agent knows
/// best.
pub(super) fn acked_seqs(context: &Context, chains: &[Chain]) -> Result<Vec<u64>> {
    let asked = super::super::small_runtime()?
        .block_on(crate::local::acked_seq(&context.paths.state.socket()));
    let mut acked: Vec<u64> = chains.iter().map(|chain| chain.view.acked_seq()).collect();
    if let (Some(current), Some(asked)) = (acked.first_mut(), asked) {
        *current = asked.max(*current);
    }
    Ok(acked)
}

fn item(chain: &Chain, stored: Stored, acked: &[u64]) -> Item {
    let is_current = chain.ended.is_none();
    let acked_seq = if is_current {
        acked.first().copied().unwrap_or(0)
    } else {
        chain.view.acked_seq()
    };
    Item {
        key_id: chain.key.key_id(),
        is_current,
        acknowledged: stored.seq <= acked_seq,
        stored,
    }
}

/// By request id in any chain, else by position in the chain in use.
fn find(chains: &[Chain], acked: &[u64], id: &str) -> std::io::Result<Option<Item>> {
    for chain in chains {
        if let Some(found) = chain.view.find(id)? {
            return Ok(Some(item(chain, found, acked)));
        }
    }
    let (Ok(seq), Some(current)) = (id.parse::<u64>(), chains.first()) else {
        return Ok(None);
    };
    let mut found = None;
    current.view.walk_newest_first(|one| {
        let go_on = one.seq > seq;
        if one.seq == seq {
            found = Some(one);
        }
        go_on
    })?;
    Ok(found.map(|stored| item(current, stored, acked)))
}

/// The receipt as JSON; what is no JSON is said to be damaged rather than dropped.
fn document(one: &Stored) -> Value {
    serde_json::from_slice(&one.entry_bytes).unwrap_or_else(|_| "damaged".into())
}

fn row(one: &Item) -> Vec<String> {
    let network = if one.acknowledged { "has it" } else { "waits" };
    let Ok(receipt) = Receipt::parse(&one.stored.entry_bytes) else {
        return vec![one.stored.seq.to_string(), "damaged".to_owned()];
    };
    let Fields {
        request_id,
        model_id,
        status,
        source,
        tokens_input,
        tokens_output,
        tokens_source,
        ttft_ms,
        latency_ms,
        ..
    } = receipt.fields;
    let ms = |value: Option<i64>| print::or_dash(value.map(|ms| format!("{ms} ms")));
    vec![
        one.stored.seq.to_string(),
        request_id.to_string(),
        print::safe(&model_id),
        print::or_dash(status.map(|status| status.as_str())),
        print::or_dash(source.map(|source| source.as_str())),
        print::input_tokens(tokens_source, tokens_input),
        print::output_tokens(tokens_source, tokens_output),
        ms(ttft_ms),
        ms(latency_ms),
        network.to_owned(),
    ]
}
