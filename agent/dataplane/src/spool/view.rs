//! Reads a spool without being its owner: for `receipt list`, `receipt show` and `status` beside a running agent.
//!
//! Takes no lock and writes nothing. The newest receipts may not be durable yet; a torn tail is not shown.

use super::disk::{Disk, Folder};
use super::store::{ACKED, Stored};
use dgon_agent_core::spool::record;
use dgon_agent_core::spool::segment::{HEADER_BYTES, file_name, parse_file_name};
use std::io;
use std::path::Path;

/// A spool seen from beside.
#[derive(Debug, Clone)]
pub struct View {
    folder: Folder,
}

impl View {
    /// The spool in this folder (see [`super::FOLDER_NAME`]).
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: Folder::existing(folder),
        }
    }

    /// Everything up to this `seq` was acknowledged when the agent last wrote it down.
    pub fn acked_seq(&self) -> u64 {
        self.folder
            .read(ACKED, 0, 32)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Walks the receipts, newest first, until `visit` returns `false`.
    ///
    /// # Errors
    /// When the folder or a segment cannot be read. A folder that is not there has no receipts.
    pub fn walk_newest_first(&self, mut visit: impl FnMut(Stored) -> bool) -> io::Result<()> {
        let names = match self.folder.names() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let mut first_seqs: Vec<u64> = names
            .iter()
            .filter_map(|name| parse_file_name(name))
            .collect();
        first_seqs.sort_unstable();
        for first_seq in first_seqs.into_iter().rev() {
            let bytes = match self.folder.read(&file_name(first_seq), 0, usize::MAX) {
                // Trimmed while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                other => other?,
            };
            let mut found = Vec::new();
            let records = bytes.get(HEADER_BYTES..).unwrap_or_default();
            record::scan(records, first_seq, |at, record| found.push((at, record)));
            for (_, record) in found.into_iter().rev() {
                let is_wanted = visit(Stored {
                    seq: record.seq,
                    appended_s: record.appended_s,
                    entry_bytes: record.receipt.to_vec(),
                });
                if !is_wanted {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The newest `limit` receipts, newest first.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn newest(&self, limit: usize) -> io::Result<Vec<Stored>> {
        let mut found = Vec::new();
        if limit > 0 {
            self.walk_newest_first(|stored| {
                found.push(stored);
                found.len() < limit
            })?;
        }
        Ok(found)
    }

    /// The receipt of this request.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn find(&self, request_id: &str) -> io::Result<Option<Stored>> {
        let mut found = None;
        let needle = format!("\"request_id\":\"{request_id}\"");
        self.walk_newest_first(|stored| {
            if memchr::memmem::find(&stored.entry_bytes, needle.as_bytes()).is_some() {
                found = Some(stored);
            }
            found.is_none()
        })?;
        Ok(found)
    }
}
