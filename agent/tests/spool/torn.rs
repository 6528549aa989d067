//! Real files cut at every byte: what was reported durable is there, what was being written is whole or gone.

use crate::model::KEY;
use dgon_agent::spool::{Folder, Spool};
use dgon_agent_core::spool::Limits;
use dgon_agent_core::spool::segment::file_name;
use dgon_protocol::receipt::{Sha256Hash, Signed};
use std::fs;
use std::path::Path;

fn receipt(seq: u64) -> Signed {
    let entry_bytes = format!(r#"{{"seq":{seq},"text":"receipt number {seq}"}}"#).into_bytes();
    Signed {
        entry_hash: Sha256Hash::of(&entry_bytes),
        entry_bytes,
    }
}

fn open(folder: &Path) -> Spool<Folder> {
    Spool::open(Folder::open(folder).unwrap(), KEY, Limits::default(), 1).unwrap()
}

fn append(spool: &mut Spool<Folder>, count: u64) {
    let first = spool.index().next_seq();
    let batch: Vec<Signed> = (first..first + count).map(receipt).collect();
    spool.append(&batch, 1).unwrap();
}

/// Reads all; the last `seq`.
fn check(spool: &mut Spool<Folder>) -> u64 {
    let found = spool.read(1, 100, 1 << 20).unwrap();
    for (seq, stored) in (1..).zip(&found) {
        assert_eq!(stored.seq, seq);
        assert_eq!(stored.entry_bytes, receipt(seq).entry_bytes);
    }
    let last = found.len() as u64;
    assert_eq!((spool.index().last_seq(), spool.damaged()), (last, 0));
    assert_eq!(spool.head(), receipt(last).entry_hash);
    last
}

#[test]
fn a_file_torn_at_any_byte_of_the_last_write_keeps_all_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let mut spool = open(&whole);
    append(&mut spool, 2);
    let segment = whole.join(file_name(1));
    let durable = fs::metadata(&segment).unwrap().len();
    append(&mut spool, 3);
    drop(spool);
    let bytes = fs::read(&segment).unwrap();
    let durable = usize::try_from(durable).unwrap();
    for cut in durable..=bytes.len() {
        // Cut off, or as long as it was with zeros or old bytes of the disk in it.
        let tails: [Vec<u8>; 3] = [
            Vec::new(),
            vec![0; bytes.len() - cut],
            bytes[..bytes.len() - cut].to_vec(),
        ];
        for (kind, tail) in tails.iter().enumerate() {
            let torn = dir.path().join(format!("torn-{cut}-{kind}"));
            fs::create_dir(&torn).unwrap();
            let file = torn.join(file_name(1));
            fs::write(&file, [&bytes[..cut], tail].concat()).unwrap();
            let mut spool = open(&torn);
            let last = check(&mut spool);
            assert!((2..=5).contains(&last), "cut at {cut}");
            append(&mut spool, 2);
            drop(spool);
            assert_eq!(check(&mut open(&torn)), last + 2, "cut at {cut}");
            fs::remove_dir_all(&torn).unwrap();
        }
    }
}

#[test]
fn a_header_torn_at_any_byte_is_a_segment_that_was_never_begun() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    append(&mut open(&whole), 2);
    let first = fs::read(whole.join(file_name(1))).unwrap();
    for cut in 0..80 {
        let torn = dir.path().join(format!("torn-{cut}"));
        fs::create_dir(&torn).unwrap();
        fs::write(torn.join(file_name(1)), &first).unwrap();
        fs::write(torn.join(file_name(3)), &first[..cut]).unwrap();
        let mut spool = open(&torn);
        assert_eq!(check(&mut spool), 2, "cut at {cut}");
        append(&mut spool, 1);
        drop(spool);
        assert_eq!(check(&mut open(&torn)), 3, "cut at {cut}");
    }
}
