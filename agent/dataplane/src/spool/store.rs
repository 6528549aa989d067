//! The spool on a disk: open and recover, append durably, read, acknowledge, trim, repair.
//!
//! One owner, one thread, blocking calls. Format and counting are `dgon_agent_core::spool`'s.
//!
//! Invariants:
//! - [`Spool::append`] returns `Ok` only when every receipt of the batch is durable.
//! - After a failed write or sync nothing more is written until [`Spool::repair`] has cut the file back to what
//!   is durable, made that durable, and begun a new segment: a sync that failed once may claim success later
//!   without having written anything.
//! - A segment is durable, name and header, before its first record, and before any older one may be trimmed.

use super::disk::{Disk, DiskFile as _};
use super::recover::{self, Doubtful, OpenError};
use dgon_agent_core::spool::record::{self, Decoded, LARGEST, Record};
use dgon_agent_core::spool::segment::{HEADER_BYTES, file_name, parse_file_name};
use dgon_agent_core::spool::{Full, Header, Limits, SpoolIndex};
use dgon_protocol::receipt::{Sha256Hash, Signed};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

pub(super) const ACKED: &str = "acked";
const ACKED_NEW: &str = "acked.new";
const PROBE: &str = "probe";
/// Written and removed before a spool that failed takes receipts again: about one large batch.
const PROBE_BYTES: usize = 256 * 1024;
/// Damaged stretches that are remembered, for the count alone.
const DAMAGES: usize = 1024;

/// Why receipts could not be appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// A limit is reached; acknowledgements make room.
    #[error("the spool is full")]
    Full(#[source] Full),
    /// The disk failed; the spool repairs itself when the disk works again.
    #[error("the spool cannot {operation}; receipts are refused until the disk takes writes again")]
    Disk {
        /// What failed.
        operation: &'static str,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
}

/// A receipt as it lies in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Position in the chain.
    pub seq: u64,
    /// When it was appended, unix s.
    pub appended_s: u64,
    /// Its entry bytes.
    pub entry_bytes: Vec<u8>,
}

/// Where reading goes on, so that a reader in order never scans a segment twice.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    seq: u64,
    segment: u64,
    offset: u64,
}

/// What one call of [`Spool::read`] gathers.
struct Batch {
    from: u64,
    found: Vec<Stored>,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
}

impl Batch {
    /// Takes a record, or passes over it where it lies before `from`; `false` when there is no room for it.
    fn take(&mut self, record: &Record<'_>) -> bool {
        if record.seq < self.from {
            return true;
        }
        let bytes = self.bytes + record.receipt.len();
        let is_room = self.found.len() < self.max_count && bytes <= self.max_bytes;
        if !is_room && !self.found.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.from = record.seq + 1;
        self.found.push(Stored {
            seq: record.seq,
            appended_s: record.appended_s,
            entry_bytes: record.receipt.to_vec(),
        });
        true
    }
}

/// A spool on disk `D`.
#[derive(Debug)]
pub struct Spool<D: Disk> {
    disk: D,
    key_id: String,
    index: SpoolIndex,
    head: Sha256Hash,
    active: Option<D::File>,
    fault: Option<AppendError>,
    acked_saved: u64,
    cursor: Option<Cursor>,
    doubtful: Option<Doubtful>,
    removal_unsynced: bool,
    /// First `seq` and length of each stretch that could not be read.
    damage: BTreeMap<u64, u64>,
    scratch: Vec<u8>,
}

impl<D: Disk> Spool<D> {
    /// Opens the spool of the key `key_id` and recovers what is there.
    ///
    /// Only reading has to work: where the disk takes no writes the spool is open and [`Spool::fault`] says why
    /// it accepts nothing.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be read, or is another key's, or has lost its chain.
    pub fn open(disk: D, key_id: &str, limits: Limits, now_s: u64) -> Result<Self, OpenError> {
        let found = recover::recover(&disk, key_id)?;
        let mut spool = Self {
            index: SpoolIndex::new(limits, found.segments, found.next_seq, found.acked_seq),
            disk,
            key_id: key_id.to_owned(),
            head: found.head,
            active: None,
            fault: None,
            acked_saved: found.acked_seq,
            cursor: None,
            doubtful: found.doubtful,
            removal_unsynced: false,
            damage: BTreeMap::new(),
            scratch: Vec::new(),
        };
        if let Err(fault) = spool.make_writable(now_s, found.damaged > 0) {
            spool.fault = Some(fault);
        }
        Ok(spool)
    }

    /// The index.
    pub fn index(&self) -> &SpoolIndex {
        &self.index
    }

    /// Last `seq` that may leave this machine. Where the disk took no writes since the start, receipts of the last
    /// batch could still vanish with the power, and another receipt would then get their `seq`.
    pub fn certain_seq(&self) -> u64 {
        self.doubtful
            .as_ref()
            .map_or(self.index.last_seq(), |doubtful| doubtful.first_seq - 1)
    }

    /// Hash of the last durable receipt: the next one's `prev_hash`.
    pub fn head(&self) -> Sha256Hash {
        self.head
    }

    /// Why the disk takes nothing; `None` while it works.
    pub fn fault(&self) -> Option<&AppendError> {
        self.fault.as_ref()
    }

    /// Receipts that were durable once and could not be read any more.
    pub fn damaged(&self) -> u64 {
        self.damage.values().sum()
    }

    /// Whether [`Spool::save_acked`] has something to do.
    pub fn has_unsaved_ack(&self) -> bool {
        self.index.settled_seq() != self.acked_saved
    }

    /// Appends receipts whose `seq` run on from the index's `next_seq`. They are durable on return.
    ///
    /// # Errors
    /// [`AppendError`]; then none of them counts, and their `seq` are given again.
    pub fn append(&mut self, batch: &[Signed], now_s: u64) -> Result<(), AppendError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let receipt_bytes = batch.iter().map(|signed| signed.entry_bytes.len() as u64);
        self.index
            .admit(batch.len() as u64, receipt_bytes.sum())
            .map_err(AppendError::Full)?;
        let done = self.try_append(batch, now_s);
        if let Err(fault) = &done {
            self.active = None;
            self.fault = Some(fault.clone());
        }
        done
    }

    fn try_append(&mut self, batch: &[Signed], now_s: u64) -> Result<(), AppendError> {
        if self.index.wants_rotation() {
            self.rotate(now_s)?;
        }
        let first_seq = self.index.next_seq();
        self.scratch.clear();
        for (seq, signed) in (first_seq..).zip(batch) {
            Record {
                seq,
                durable_seq: first_seq - 1,
                appended_s: now_s,
                receipt: &signed.entry_bytes,
            }
            .encode(&mut self.scratch);
        }
        let offset = self.index.active().map_or(0, |active| active.bytes);
        let file = self
            .active
            .as_mut()
            .ok_or_else(|| disk("find its segment", io::ErrorKind::NotFound.into()))?;
        file.write_at(offset, &self.scratch)
            .map_err(|error| disk("write receipts", error))?;
        file.sync().map_err(|error| disk("sync receipts", error))?;
        self.index
            .appended(batch.len() as u64, self.scratch.len() as u64);
        if let Some(last) = batch.last() {
            self.head = last.entry_hash;
        }
        if self.scratch.capacity() > 1024 * 1024 {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    /// Tries to take receipts again after a fault. Cheap when there is none.
    pub fn repair(&mut self, now_s: u64) {
        if self.fault.is_none() {
            return;
        }
        let outcome = self
            .probe_space()
            .and_then(|()| self.make_writable(now_s, true));
        self.fault = outcome.err();
    }

    /// Brings the newest segment to exactly its durable length and opens it, or begins a new one.
    fn make_writable(&mut self, now_s: u64, wants_fresh: bool) -> Result<(), AppendError> {
        let Some(active) = self.index.active().copied() else {
            return self.rotate(now_s);
        };
        let name = file_name(active.first_seq);
        let mut file = self
            .disk
            .open(&name)
            .map_err(|error| disk("open its newest segment", error))?;
        file.set_len(active.bytes)
            .map_err(|error| disk("cut a torn tail off", error))?;
        // Records that a killed process wrote but never synced count as durable from here on.
        if let Some(doubtful) = &self.doubtful {
            file.write_at(doubtful.offset, &doubtful.bytes)
                .map_err(|error| disk("write its last receipts again", error))?;
        }
        file.sync()
            .map_err(|error| disk("sync its newest segment", error))?;
        self.doubtful = None;
        self.remove_unborn(active.first_seq)
            .map_err(|error| disk("remove a segment that was never begun", error))?;
        self.disk
            .sync_names()
            .map_err(|error| disk("sync its folder", error))?;
        self.active = Some(file);
        if wants_fresh && active.first_seq < self.index.next_seq() {
            self.rotate(now_s)?;
        }
        Ok(())
    }

    /// Begins a segment at `next_seq`. What may lie under its name was never durable.
    fn rotate(&mut self, now_s: u64) -> Result<(), AppendError> {
        let first_seq = self.index.next_seq();
        let header = Header {
            key_id: self.key_id.clone(),
            first_seq,
            prev_hash: self.head,
            created_s: now_s,
        };
        let mut file = self
            .disk
            .create(&file_name(first_seq))
            .map_err(|error| disk("begin a segment", error))?;
        file.write_at(0, &header.encode())
            .map_err(|error| disk("write a segment's header", error))?;
        file.sync()
            .map_err(|error| disk("sync a new segment", error))?;
        self.disk
            .sync_names()
            .map_err(|error| disk("sync its folder", error))?;
        self.active = Some(file);
        self.index.rotated(now_s);
        Ok(())
    }

    /// Removes files of segments after the newest: a rotation failed, and their `seq` may come in another file.
    fn remove_unborn(&self, newest: u64) -> io::Result<()> {
        for name in self.disk.names()? {
            if parse_file_name(&name).is_some_and(|first_seq| first_seq > newest) {
                self.disk.remove(&name)?;
            }
        }
        Ok(())
    }

    /// A disk that was full may take a few bytes and no more: asks for as much as a batch needs.
    fn probe_space(&self) -> Result<(), AppendError> {
        let written = self.disk.create(PROBE).and_then(|mut file| {
            file.write_at(0, &vec![0u8; PROBE_BYTES])?;
            file.sync()
        });
        // Not being able to remove it changes nothing: the next probe overwrites it.
        let _ = self.disk.remove(PROBE);
        written.map_err(|error| disk("write a probe of free space", error))
    }

    /// Durable receipts from `from` on, in order: at most `max_count` and about `max_bytes`, at least one where
    /// there is one. Damaged ones are left out.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn read(
        &mut self,
        from: u64,
        max_count: usize,
        max_bytes: usize,
    ) -> io::Result<Vec<Stored>> {
        let mut batch = Batch {
            from: from.max(self.index.oldest_seq()),
            found: Vec::new(),
            bytes: 0,
            max_count,
            max_bytes,
        };
        let certain_seq = self.certain_seq();
        while let Some((segment, end)) = self.index.locate(batch.from) {
            if batch.from > certain_seq {
                break;
            }
            let mut cursor = self
                .cursor
                .filter(|cursor| cursor.segment == segment.first_seq && cursor.seq <= batch.from)
                .unwrap_or(Cursor {
                    seq: segment.first_seq,
                    segment: segment.first_seq,
                    offset: HEADER_BYTES as u64,
                });
            let chunk = self.chunk(cursor, segment.bytes, max_bytes)?;
            let mut at = 0;
            let mut is_full = false;
            while let Decoded::Whole(record, length) = record::decode(&chunk[at..]) {
                if record.seq > certain_seq || !batch.take(&record) {
                    is_full = true;
                    break;
                }
                at += length;
                cursor.seq = record.seq + 1;
            }
            cursor.offset += at as u64;
            if !is_full && at == 0 {
                cursor = self.skip_damage(cursor, segment.bytes, end)?;
                batch.from = batch.from.max(cursor.seq);
            }
            self.cursor = Some(cursor);
            if is_full {
                break;
            }
        }
        Ok(batch.found)
    }

    /// Bytes from the cursor on, enough for `max_bytes` of receipts and always for one record.
    fn chunk(&self, cursor: Cursor, segment_bytes: u64, max_bytes: usize) -> io::Result<Vec<u8>> {
        let there = segment_bytes.saturating_sub(cursor.offset);
        let wanted = there.min((max_bytes + LARGEST) as u64);
        let name = file_name(cursor.segment);
        match self
            .disk
            .read(&name, cursor.offset, usize::try_from(wanted).unwrap_or(0))
        {
            // A segment that somebody removed is damage like any other.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    /// The cursor after an unreadable stretch: at the next whole record or the segment's end.
    fn skip_damage(&mut self, cursor: Cursor, segment_bytes: u64, end: u64) -> io::Result<Cursor> {
        let rest = self.chunk(cursor, segment_bytes, usize::MAX - LARGEST)?;
        let next = record::find_next(&rest, 1).and_then(|at| match record::decode(&rest[at..]) {
            Decoded::Whole(record, _) if (cursor.seq..end).contains(&record.seq) => {
                Some((record.seq, cursor.offset + at as u64))
            }
            _ => None,
        });
        let (seq, offset) = next.unwrap_or((end, segment_bytes));
        if self.damage.len() < DAMAGES {
            self.damage.insert(cursor.seq, seq - cursor.seq);
        }
        Ok(Cursor {
            seq,
            offset,
            ..cursor
        })
    }

    /// Moves the acknowledged position, not past [`Spool::certain_seq`]; kept in memory until
    /// [`Spool::save_acked`]. A saved position past the end of the chain would say that the chain was lost.
    pub fn set_acked(&mut self, seq: u64) {
        self.index.set_acked(seq.min(self.certain_seq()));
    }

    /// Saves the acknowledged position. Losing it costs only receipts that are sent twice.
    ///
    /// # Errors
    /// When it is not durable; the position before it, or this one, is found at the next start.
    pub fn save_acked(&mut self) -> io::Result<()> {
        if !self.has_unsaved_ack() {
            return Ok(());
        }
        // The most that ever was: a control plane that has less says so again in the next session.
        let acked_seq = self.index.settled_seq();
        let mut file = self.disk.create(ACKED_NEW)?;
        file.write_at(0, format!("{acked_seq}\n").as_bytes())?;
        file.sync()?;
        self.disk.rename(ACKED_NEW, ACKED)?;
        self.disk.sync_names()?;
        self.acked_saved = acked_seq;
        Ok(())
    }

    /// Removes acknowledged segments that are too old or too many.
    ///
    /// # Errors
    /// When one cannot be removed; the rest stays until the next call.
    pub fn trim(&mut self, now_s: u64) -> io::Result<()> {
        for _ in 0..self.index.trimmable(now_s) {
            // One after the other, so that a crash never leaves a hole between segments.
            self.sync_removal()?;
            let name = file_name(self.index.oldest_seq());
            if let Err(error) = self.disk.remove(&name)
                && !self.is_gone(&name)
            {
                return Err(error);
            }
            self.index.trimmed_oldest();
            self.removal_unsynced = true;
        }
        self.sync_removal()
    }

    fn sync_removal(&mut self) -> io::Result<()> {
        if self.removal_unsynced {
            self.disk.sync_names()?;
            self.removal_unsynced = false;
        }
        Ok(())
    }

    /// A removal that failed may have been done.
    fn is_gone(&self, name: &str) -> bool {
        matches!(self.disk.len(name), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Receipts appended at or after `since_s`.
    pub fn count_since(&self, since_s: u64) -> u64 {
        let boundary = self
            .index
            .segments()
            .rev()
            .find(|segment| segment.created_s < since_s)
            .copied();
        let Some(boundary) = boundary else {
            return self.index.next_seq() - self.index.oldest_seq();
        };
        let end = self
            .index
            .locate(boundary.first_seq)
            .map_or(self.index.next_seq(), |(_, end)| end);
        let mut within = 0;
        let length = usize::try_from(boundary.bytes).unwrap_or(0);
        if let Ok(bytes) = self.disk.read(
            &file_name(boundary.first_seq),
            HEADER_BYTES as u64,
            length.saturating_sub(HEADER_BYTES),
        ) {
            record::scan(&bytes, boundary.first_seq, |_, record| {
                within += u64::from(record.appended_s >= since_s);
            });
        }
        self.index.next_seq() - end + within
    }
}

fn disk(operation: &'static str, error: io::Error) -> AppendError {
    AppendError::Disk {
        operation,
        source: Arc::new(error),
    }
}
