//! The spool beside an oracle that knows what was promised.

use crate::fault_disk::FaultDisk;
use dgon_agent::spool::{AppendError, Spool};
use dgon_agent_core::spool::Limits;
use dgon_protocol::receipt::{Sha256Hash, Signed};

pub(crate) const KEY: &str = "0123456789abcdef";

/// Small enough that a few receipts rotate and trim segments.
pub(crate) fn small() -> Limits {
    Limits {
        max_receipts: 60,
        max_bytes: 20_000,
        keep_s: 1_000,
        keep_bytes: 2_000,
        segment_bytes: 600,
    }
}

/// A spool, its disk, and every receipt that it ever reported durable, by `seq` from 1.
pub(crate) struct Model {
    pub(crate) disk: FaultDisk,
    pub(crate) spool: Spool<FaultDisk>,
    promised: Vec<Vec<u8>>,
    /// Receipts of batches that were not reported durable and may be there all the same.
    attempted: Vec<(u64, Vec<u8>)>,
    made: u64,
    pub(crate) now_s: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        let disk = FaultDisk::default();
        let spool = Spool::open(disk.clone(), KEY, small(), 0).unwrap();
        Self {
            disk,
            spool,
            promised: Vec::new(),
            attempted: Vec::new(),
            made: 0,
            now_s: 0,
        }
    }

    /// A receipt that differs from every other one, also from others with the same `seq`.
    fn receipt(&mut self, seq: u64) -> Signed {
        self.made += 1;
        let padding = "x".repeat(usize::try_from(self.made * 37 % 150).unwrap());
        let entry_bytes =
            format!(r#"{{"seq":{seq},"made":{},"x":"{padding}"}}"#, self.made).into_bytes();
        Signed {
            entry_hash: Sha256Hash::of(&entry_bytes),
            entry_bytes,
        }
    }

    pub(crate) fn append(&mut self, count: u64) -> Result<(), AppendError> {
        self.adopt();
        let first = self.spool.index().next_seq();
        let batch: Vec<Signed> = (first..first + count)
            .map(|seq| self.receipt(seq))
            .collect();
        let outcome = self.spool.append(&batch, self.now_s);
        let receipts = batch.into_iter().map(|signed| signed.entry_bytes);
        match &outcome {
            Ok(()) => {
                self.attempted.retain(|(seq, _)| *seq >= first + count);
                self.promised.extend(receipts);
            }
            Err(AppendError::Full(_)) => {}
            Err(AppendError::Disk { .. }) => self.attempted.extend((first..).zip(receipts)),
        }
        outcome
    }

    /// Starts anew on what the disk holds, as after a kill or a power failure.
    pub(crate) fn reopen(&mut self) {
        self.spool = Spool::open(self.disk.clone(), KEY, small(), self.now_s).unwrap();
        self.check();
    }

    /// What came back beyond the promised must have been attempted; once it is certain it is part of the chain.
    fn adopt(&mut self) {
        let known = self.promised.len() as u64;
        assert!(
            self.spool.index().last_seq() >= known,
            "promised up to {known}, found up to {}",
            self.spool.index().last_seq()
        );
        for stored in self.spool.read(known + 1, 1_000, 1 << 20).unwrap() {
            assert_eq!(stored.seq, self.promised.len() as u64 + 1);
            let is_known = self
                .attempted
                .iter()
                .any(|(seq, bytes)| *seq == stored.seq && *bytes == stored.entry_bytes);
            assert!(is_known, "seq {} holds what nobody wrote", stored.seq);
            self.promised.push(stored.entry_bytes);
        }
    }

    /// Everything promised that may not be trimmed yet is there, once, in order.
    pub(crate) fn check(&mut self) {
        self.adopt();
        let index = self.spool.index().clone();
        let certain = self.spool.certain_seq();
        assert!(
            index.oldest_seq() <= index.acked_seq() + 1,
            "unacknowledged receipts were trimmed"
        );
        let mut expected = index.oldest_seq();
        while expected <= certain {
            let batch = self.spool.read(expected, 7, 500).unwrap();
            assert!(!batch.is_empty(), "seq {expected} is missing");
            for stored in batch {
                assert_eq!(stored.seq, expected, "out of order");
                let promised = &self.promised[usize::try_from(expected - 1).unwrap()];
                assert_eq!(
                    &stored.entry_bytes, promised,
                    "seq {expected} has other bytes"
                );
                expected += 1;
            }
        }
        assert_eq!(self.spool.damaged(), 0);
        if certain < index.last_seq() {
            assert!(
                self.spool.fault().is_some(),
                "a working disk leaves nothing in doubt"
            );
            return;
        }
        assert_eq!(certain, self.promised.len() as u64);
        let head = self
            .promised
            .last()
            .map_or(Sha256Hash::ZERO, |bytes| Sha256Hash::of(bytes));
        assert_eq!(
            self.spool.head(),
            head,
            "the chain would go on from the wrong receipt"
        );
    }

    /// Once the disk works and there is room, the spool takes receipts again.
    pub(crate) fn recovers(&mut self) {
        self.disk.set_broken(None);
        self.spool.repair(self.now_s);
        self.spool.set_acked(self.spool.index().last_seq());
        self.spool.trim(self.now_s).unwrap();
        self.append(2).unwrap();
        self.check();
    }
}
