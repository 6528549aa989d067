//! Fills a store with a network that looks like one: nodes in regions with runtimes and models, and for each a
//! chain of really signed receipts, counted as ingest counts them. The same seed gives the same bytes.

use anyhow::{Context as _, anyhow, bail};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_control_plane_model::rollup::minute_of;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::{
    Closing, Connected, Enrolment, LifecycleChange, NewNode, NewReceipt, Store, System,
};
use dgon_protocol::chain::Head;
use dgon_protocol::frame::{Gpu, Inventory, Model, Runtime};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::{Draft, Fields, Receipt, Sha256Hash, Source, Status, TokensSource};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeSet;

const REGIONS: [&str; 4] = ["ap-southeast", "eu-west", "us-east", "us-west"];
const RUNTIMES: [&str; 3] = ["ollama", "vllm", "llama.cpp"];
const MODELS: [&str; 5] = [
    "gemma3:4b",
    "llama3.1-8b",
    "mistral-7b",
    "phi4",
    "qwen3:32b",
];
const BATCH: usize = 1_000;
/// Receipts for which a thread is worth its start.
const SIGNED_AT_ONCE: usize = 64;

/// How large the network is.
#[derive(Debug, Clone, Copy)]
pub struct Seed {
    /// Nodes, named `node-00000` and on.
    pub nodes: u32,
    /// Receipts of each.
    pub receipts_per_node: u32,
    /// When the last receipt is received, unix ms.
    pub end_ms: i64,
    /// Over how long they are received, ms.
    pub span_ms: i64,
    /// Of the dice.
    pub dice: u64,
    /// Org of every other node; the others have none.
    pub org_id: Option<&'static str>,
}

impl Seed {
    /// Every second node belongs to the organisation.
    fn org_of(&self, key: &NodeKey) -> Option<String> {
        let belongs = key.seed()[3].is_multiple_of(2);
        self.org_id.filter(|_| belongs).map(str::to_owned)
    }

    /// When its nodes were enrolled, unix ms.
    const fn enrolled_ms(&self) -> i64 {
        self.end_ms - self.span_ms - 3_600_000
    }

    /// A day's traffic that ends at `end_ms`.
    pub const fn day(nodes: u32, receipts_per_node: u32, end_ms: i64) -> Self {
        Self {
            nodes,
            receipts_per_node,
            end_ms,
            span_ms: 23 * 3_600_000,
            dice: 1,
            org_id: Some("org-1"),
        }
    }

    /// Name of the node at a position.
    pub fn node_id(position: u32) -> String {
        format!("node-{position:05}")
    }
}

/// A receipt that was stored.
#[derive(Debug, Clone)]
pub struct Seeded {
    /// What it says.
    pub fields: Fields,
    /// When it was received, unix ms.
    pub received_at_ms: i64,
    /// Its bytes.
    pub entry: Vec<u8>,
    entry_hash: Sha256Hash,
    node_key_id: i64,
    region: &'static str,
    /// The organisation of its node.
    pub org_id: Option<String>,
}

struct SeedNode {
    position: u32,
    node_id: NodeId,
    region: &'static str,
    runtime: &'static str,
    models: [&'static str; 2],
    key: NodeKey,
    node_key_id: i64,
    org_id: Option<String>,
    head: Head,
}

/// Fills the store and shows each receipt, in received order, to `seen`.
///
/// # Errors
/// When the store refuses something, which is a fault of the test.
pub async fn seed(store: &Store, seed: &Seed, mut seen: impl FnMut(&Seeded)) -> anyhow::Result<()> {
    let mut dice = SmallRng::seed_from_u64(seed.dice);
    let mut nodes = Vec::new();
    for position in 0..seed.nodes {
        nodes.push(node(store, seed, position).await?);
    }
    for some in nodes.chunks(BATCH) {
        bring_up(store, some, seed.enrolled_ms()).await?;
    }
    let total = i64::from(seed.nodes) * i64::from(seed.receipts_per_node);
    let begin_ms = seed.end_ms - seed.span_ms;
    let mut batch: Vec<Seeded> = Vec::with_capacity(BATCH);
    let mut n = 0;
    while n < total {
        // Nodes that follow each other, each once: their receipts do not depend on each other.
        let first = usize::try_from(n % i64::from(seed.nodes))?;
        let most = (nodes.len() - first).min(BATCH - batch.len());
        let group = &mut nodes[first..first + most];
        let mut drafts = Vec::with_capacity(most);
        for node in &*group {
            let received_at_ms = begin_ms + (n + 1) * seed.span_ms / total;
            drafts.push((draft(node, &mut dice, n, received_at_ms)?, received_at_ms));
            n += 1;
        }
        batch.extend(sign(group, &drafts)?);
        if batch.len() == BATCH || n == total {
            commit(store, &nodes, &batch).await?;
            batch.drain(..).for_each(|receipt| seen(&receipt));
        }
    }
    close(store, seed.end_ms).await
}

/// Closes the quarters of an hour that are over, as the server would by then.
async fn close(store: &Store, end_ms: i64) -> anyhow::Result<()> {
    let by = System::of_the_server();
    loop {
        match store.rollups_close_next(by, minute_of(end_ms), 0).await? {
            Closing::Closed(_) => {}
            Closing::Nothing => return Ok(()),
            Closing::Disturbed => bail!("somebody else writes to this database"),
        }
    }
}

async fn node(store: &Store, seed: &Seed, position: u32) -> anyhow::Result<SeedNode> {
    let node_id = NodeId::parse(Seed::node_id(position))?;
    let at = position as usize;
    let region = REGIONS[at % REGIONS.len()];
    let runtime = RUNTIMES[at % RUNTIMES.len()];
    let models = [MODELS[at % MODELS.len()], MODELS[(at + 1) % MODELS.len()]];
    let mut key_seed = [7; 32];
    key_seed[..4].copy_from_slice(&position.to_be_bytes());
    let key = NodeKey::from_seed(&key_seed);
    enrol(store, seed, &node_id, region, &key, seed.enrolled_ms()).await?;
    let stored = store
        .node_key_current(System::of_the_server(), &node_id)
        .await?;
    Ok(SeedNode {
        position,
        node_key_id: stored.context("an enrolled node has a key")?.id,
        org_id: seed.org_of(&key),
        node_id,
        region,
        runtime,
        models,
        key,
        head: Head::EMPTY,
    })
}

/// Lets enrolled nodes connect; those that serve become active.
async fn bring_up(store: &Store, nodes: &[SeedNode], at_ms: i64) -> anyhow::Result<()> {
    let inventories: Vec<Inventory> = nodes
        .iter()
        .map(|node| inventory(node.runtime, node.models))
        .collect();
    let connected: Vec<(i64, Connected<'_>)> = nodes
        .iter()
        .zip(&inventories)
        .map(|(node, inventory)| {
            let connected = Connected {
                node_id: &node.node_id,
                agent_version: "0.1.0",
                os: "linux",
                arch: "x86_64",
                inventory,
                allow_list: "[]",
            };
            (at_ms, connected)
        })
        .collect();
    store
        .nodes_connected(System::of_the_server(), &connected)
        .await?;
    let audit = AuditEntry::default();
    // One in ten waits for its probe; the others serve.
    let serving = nodes.iter().filter(|node| node.position % 10 != 9);
    let changes: Vec<LifecycleChange<'_>> = serving
        .map(|node| LifecycleChange {
            node_id: &node.node_id,
            old: (State::Registered, Reason::Enrolled),
            new: (State::Active, Reason::ProbePassed),
            at_ms: at_ms + 1_000,
            actor: "system",
            detail: None,
            audit: &audit,
        })
        .collect();
    store
        .node_transitions(&System::of_the_server().into(), &changes)
        .await?;
    Ok(())
}

async fn enrol(
    store: &Store,
    seed: &Seed,
    node_id: &NodeId,
    region: &str,
    key: &NodeKey,
    at_ms: i64,
) -> anyhow::Result<()> {
    let token_hash = Sha256Hash::of(node_id.as_str().as_bytes()).0;
    let token = NewEnrolmentToken {
        id: node_id.to_string(),
        token_hash,
        label: "seed".to_owned(),
        region: Some(region.to_owned()),
        org_id: seed.org_of(key),
        pool_id: None,
        created_by: "seed".to_owned(),
        created_at_ms: at_ms,
        expires_at_ms: at_ms + 1,
        uses: 1,
        key_id: None,
    };
    let (by, audit) = (System::of_the_server().into(), AuditEntry::default());
    if let Some(org_id) = &token.org_id {
        // One that is there already is as good.
        store.org_create(&by, org_id, org_id, &audit).await?;
    }
    store.enrolment_token_create(&by, &token, &audit).await?;
    let new = NewNode {
        node_id,
        region: Some(region),
        public_key: &key.public(),
        sealed_secret: b"sealed",
        agent_version: "0.1.0",
        os: "linux",
        arch: "x86_64",
        hardware_hash: None,
        at_ms,
        ip: None,
        request_id: None,
    };
    match store
        .enrol(System::of_the_server(), &token_hash, &new)
        .await?
    {
        Enrolment::Enrolled { .. } => Ok(()),
        refused => bail!("{node_id} was not enrolled: {refused:?}"),
    }
}

fn inventory(runtime: &str, models: [&str; 2]) -> Inventory {
    let models = models.map(|id| Model {
        id: id.to_owned(),
        digest: None,
        size_bytes: Some(4_000_000_000),
        loaded: Some(true),
    });
    Inventory {
        gpus: vec![Gpu {
            index: 0,
            name: "NVIDIA GeForce RTX 4090".to_owned(),
            uuid: None,
            vram_mib: Some(24_564),
            unified_memory: None,
            driver: Some("550.54".to_owned()),
            cuda: Some("12.4".to_owned()),
            pci: None,
            backend: "nvml".to_owned(),
            mig: Vec::new(),
        }],
        runtimes: vec![Runtime {
            kind: runtime.to_owned(),
            version: Some("1.0".to_owned()),
            ready: true,
            models: models.into(),
        }],
        ..Inventory::default()
    }
}

/// The next receipt of a node, not signed yet.
fn draft(
    node: &SeedNode,
    dice: &mut SmallRng,
    n: i64,
    received_at_ms: i64,
) -> anyhow::Result<Draft> {
    let latency_ms: u64 = dice.random_range(150..12_000);
    let status = match dice.random_range(0..100) {
        0..3 => Status::Error,
        3..5 => Status::Cancelled,
        _ => Status::Ok,
    };
    let source = match dice.random_range(0..20) {
        0 => Source::Probe,
        1..4 => Source::Gateway,
        _ => Source::Local,
    };
    let cached: u64 = if dice.random_range(0..4) == 0 { 64 } else { 0 };
    let ts_end = u64::try_from(received_at_ms / 1000)?;
    Ok(Draft {
        request_id: RequestId::generate(u64::try_from(received_at_ms)?, u128::try_from(n)?),
        node_id: node.node_id.clone(),
        region: Some(node.region.to_owned()),
        ts_start: ts_end - latency_ms / 1000,
        ts_end,
        model_id: node.models[dice.random_range(0..2)].to_owned(),
        model_hash: None,
        prompt_hash: None,
        tokens_input: dice.random_range(8..2_000),
        tokens_output: dice.random_range(0..900),
        p95_ms: Some(dice.random_range(5..80)),
        s3_checkpoints: Vec::new(),
        hedged: dice.random_range(0..50) == 0,
        cache_hit: Some(cached > 0),
        seq: node.head.seq + 1,
        prev_hash: node.head.entry_hash,
        status,
        ttft_ms: (status != Status::Error).then(|| 20 + latency_ms / 9),
        latency_ms,
        runtime: Some(node.runtime.to_owned()),
        source,
        tokens_cached: Some(cached),
        output_hash: None,
        energy_mwh: None,
        order_hash: None,
        tokens_source: Some(TokensSource::Usage),
        error: None,
    })
}

/// Signs a receipt of each node, on all cores: signing is what takes the time of many.
fn sign(nodes: &mut [SeedNode], drafts: &[(Draft, i64)]) -> anyhow::Result<Vec<Seeded>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let each = nodes.len().div_ceil(cores).max(SIGNED_AT_ONCE);
    std::thread::scope(|scope| {
        let parts: Vec<_> = nodes
            .chunks_mut(each)
            .zip(drafts.chunks(each))
            .map(|(nodes, drafts)| scope.spawn(move || sign_each(nodes, drafts)))
            .collect();
        let mut signed = Vec::with_capacity(drafts.len());
        for part in parts {
            signed.extend(part.join().map_err(|_| anyhow!("signing panicked"))??);
        }
        Ok(signed)
    })
}

fn sign_each(nodes: &mut [SeedNode], drafts: &[(Draft, i64)]) -> anyhow::Result<Vec<Seeded>> {
    let pairs = nodes.iter_mut().zip(drafts);
    pairs
        .map(|(node, (draft, received_at_ms))| receipt(node, draft, *received_at_ms))
        .collect()
}

fn receipt(node: &mut SeedNode, draft: &Draft, received_at_ms: i64) -> anyhow::Result<Seeded> {
    let signed = draft.sign(&node.key);
    node.head = Head {
        seq: draft.seq,
        entry_hash: signed.entry_hash,
    };
    let fields = Receipt::parse(&signed.entry_bytes)?.fields.clone();
    Ok(Seeded {
        fields,
        received_at_ms,
        entry: signed.entry_bytes,
        entry_hash: signed.entry_hash,
        node_key_id: node.node_key_id,
        region: node.region,
        org_id: node.org_id.clone(),
    })
}

async fn commit(store: &Store, nodes: &[SeedNode], batch: &[Seeded]) -> anyhow::Result<()> {
    let rows: Vec<NewReceipt<'_>> = batch
        .iter()
        .map(|receipt| NewReceipt {
            verified: true,
            node_key_id: receipt.node_key_id,
            seq: receipt.fields.seq,
            region: receipt.region,
            org_id: receipt.org_id.as_deref(),
            fields: &receipt.fields,
            entry_hash: receipt.entry_hash,
            entry: &receipt.entry,
            received_at_ms: receipt.received_at_ms,
        })
        .collect();
    let touched: BTreeSet<i64> = batch.iter().map(|receipt| receipt.node_key_id).collect();
    let heads: Vec<(i64, Head)> = nodes
        .iter()
        .filter(|node| touched.contains(&node.node_key_id))
        .map(|node| (node.node_key_id, node.head))
        .collect();
    let mut tx = store.ingest_begin(System::of_the_server()).await?;
    let conflicts = tx.insert(&rows).await?;
    if !conflicts.is_empty() {
        bail!(
            "of {} receipts {} were not new",
            rows.len(),
            conflicts.len()
        );
    }
    tx.set_heads(&heads, &rows).await?;
    tx.rollups(&rows).await?;
    tx.commit().await?;
    Ok(())
}
