//! Bundles of real spools, and every way to change one.

use super::verify::{Invalid, verify};
use super::*;
use crate::config::StateDir;
use crate::identity;
use crate::receipts::ChainEnd;
use crate::rotation::archive;
use crate::rotation::files;
use crate::spool::{Folder, Spool};
use dgon_agent_core::spool::Limits;
use dgon_protocol::id::RequestId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::{Draft, Signed, Source, Status};
use proptest::prelude::*;
use std::sync::LazyLock;

fn node_id() -> NodeId {
    NodeId::parse("rig-7").unwrap()
}

fn signed(key: &NodeKey, name: &str, seq: u64, prev_hash: Sha256Hash) -> Signed {
    Draft {
        request_id: RequestId::parse(name).unwrap(),
        node_id: node_id(),
        region: Some("größer \"als\" null".to_owned()),
        ts_start: 1_800_000_000,
        ts_end: 1_800_000_001,
        model_id: "m:1b".to_owned(),
        model_hash: None,
        prompt_hash: None,
        tokens_input: 3,
        tokens_output: 4,
        p95_ms: None,
        s3_checkpoints: Vec::new(),
        hedged: false,
        cache_hit: None,
        seq,
        prev_hash,
        status: Status::Ok,
        ttft_ms: None,
        latency_ms: 9,
        runtime: None,
        source: Source::Local,
        tokens_cached: None,
        output_hash: None,
        energy_mwh: None,
        order_hash: None,
        tokens_source: None,
        error: None,
    }
    .sign(key)
}

/// Appends receipts in batches of one; the end of the chain.
fn fill(state: &StateDir, key: &NodeKey, tag: &str, count: u64) -> ChainEnd {
    let folder = Folder::open(&state.spool_dir()).unwrap();
    let mut spool = Spool::open(folder, &key.public().key_id(), Limits::default(), 1).unwrap();
    for _ in 0..count {
        let seq = spool.index().next_seq();
        let one = signed(key, &format!("{tag}-{seq}"), seq, spool.head());
        spool.append(&[one], 100 + seq).unwrap();
    }
    spool.set_acked(2);
    spool.save_acked().unwrap();
    ChainEnd {
        last_seq: spool.index().last_seq(),
        last_hash: spool.head(),
    }
}

struct Sample {
    bytes: Vec<u8>,
    first: PublicKey,
    last: PublicKey,
}

/// Three keys; the bundle from `since_s` on.
fn sample(since_s: u64) -> Sample {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path().join("state"));
    let mut key = identity::create_key(&state).unwrap();
    let first = key.public();
    for tag in ["a", "b"] {
        let end = fill(&state, &key, tag, 3);
        let mut record = files::prepare(&state, &node_id(), &key, 7).unwrap();
        files::change_over(&state, &key, &mut record, Some(end)).unwrap();
        key = identity::load_key(&state).unwrap();
    }
    fill(&state, &key, "c", 3);
    let chains = archive::chains(&state, key.public()).unwrap();
    let acked: Vec<u64> = chains.iter().map(|chain| chain.view.acked_seq()).collect();
    Sample {
        bytes: make(&node_id(), &key, &chains, &acked, since_s, 9).unwrap(),
        first,
        last: key.public(),
    }
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| sample(0));

#[test]
fn a_bundle_of_several_keys_proves_its_receipts_and_says_what_not() {
    let Sample { bytes, first, last } = &*SAMPLE;
    let proof = verify(bytes, None).unwrap();
    assert_eq!((proof.receipts, proof.key_ids.len()), (9, 3));
    assert_eq!(proof.public_key, *last);
    assert!(proof.not_in_it.is_empty());
    assert!(proof.not_proven[0].contains("--public-key"));
    for known in [first, last] {
        let proof = verify(bytes, Some(known)).unwrap();
        assert!(!proof.not_proven[0].contains("--public-key"));
    }
    let stranger = NodeKey::from_seed(&[9; 32]).public();
    assert_eq!(verify(bytes, Some(&stranger)), Err(Invalid::Stranger));
}

#[test]
fn a_part_says_what_is_not_in_it() {
    let part = sample(103);
    let proof = verify(&part.bytes, None).unwrap();
    assert_eq!(proof.receipts, 3);
    assert_eq!(proof.not_in_it.len(), 3);
    assert!(proof.not_in_it[0].starts_with("1 to 2 of key "));
}

/// Seals a changed bundle anew, as who holds the last key could.
fn sealed_by(key: &NodeKey, edit: impl FnOnce(&mut Bundle)) -> Vec<u8> {
    let mut bundle: Bundle = serde_json::from_slice(&SAMPLE.bytes).unwrap();
    bundle.seal = None;
    edit(&mut bundle);
    let canonical = |bundle: &Bundle| {
        let text = serde_json::to_vec(bundle).unwrap();
        let document = dgon_protocol::strict::parse(&text, DEPTH).unwrap();
        dgon_protocol::strict::canonical(&document.root)
    };
    let unsealed = canonical(&bundle);
    let seal = key.sign(&seal_bytes(&unsealed));
    bundle.seal = Some(dgon_protocol::key::signature_text(&seal));
    canonical(&bundle)
}

#[test]
fn a_thief_with_a_seal_of_his_own_proves_nothing() {
    let thief = NodeKey::from_seed(&[8; 32]);
    let passed_on = sealed_by(&thief, |bundle| {
        bundle.keys[2].public_key = thief.public();
        bundle.keys[2].key_id = thief.public().key_id();
        bundle.chains[2].key_id = thief.public().key_id();
    });
    assert!(matches!(verify(&passed_on, None), Err(Invalid::Key { .. })));
    let own = sealed_by(&thief, |bundle| {
        bundle.keys = vec![Key {
            closing: None,
            key_id: thief.public().key_id(),
            public_key: thief.public(),
            rotation: None,
            valid_from_ms: None,
            valid_to_ms: None,
        }];
        bundle.chains.truncate(1);
        bundle.chains[0].key_id = thief.public().key_id();
    });
    assert!(matches!(verify(&own, None), Err(Invalid::Receipt { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_change_of_any_byte_is_found(
        at in any::<prop::sample::Index>(),
        bits in 1u8..,
        kind in 0..4usize,
    ) {
        let mut bytes = SAMPLE.bytes.clone();
        let at = at.index(bytes.len());
        match kind {
            0 => bytes[at] ^= bits,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, bits),
            _ => bytes.truncate(at),
        }
        prop_assume!(bytes != SAMPLE.bytes);
        prop_assert!(verify(&bytes, None).is_err());
    }
}
