//! Receipts that the control plane refused: one JSON line each, kept for their owner, shown by `doctor`.
//!
//! Bounded: at most 8 MiB. A file that is full takes nothing more until its owner puts it aside, so that a control plane
//! that refuses everything cannot push out what was refused before. A line that cannot be written never holds the
//! queue up; the receipt itself stays in the spool as long as acknowledged ones do.

use super::disk::{owner_only, sync_folder};
use dgon_protocol::frame::Refused;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "dead-letters.jsonl";
/// Most bytes of the file.
pub const LARGEST_BYTES: u64 = 8 * 1024 * 1024;
/// A file with less room than this counts as full: more than the largest letter.
const RESERVE_BYTES: u64 = 128 * 1024;

/// One refused receipt.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When the refusal came, unix s.
    pub refused_s: u64,
    /// What was refused and why. Nested: raw JSON cannot be read beside a flattened member.
    pub refusal: Refused,
    /// Its place in the chain; absent where the receipt was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Its entry bytes; absent where the receipt was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Box<RawValue>>,
}

/// The file of refused receipts.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    path: PathBuf,
}

impl DeadLetters {
    /// The file in this state directory.
    pub fn in_dir(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join(FILE_NAME),
        }
    }

    /// Appends letters as long as there is room; durable on return. How many went in.
    ///
    /// # Errors
    /// When that is not certain.
    pub fn append(&self, letters: &[DeadLetter]) -> io::Result<usize> {
        let length = fs::metadata(&self.path).map_or(0, |data| data.len());
        let mut lines = Vec::new();
        // A line that a crash cut short must not swallow the next one.
        if length > 0 && !self.ends_with_newline()? {
            lines.push(b'\n');
        }
        let mut kept = 0;
        for letter in letters {
            if length + lines.len() as u64 + RESERVE_BYTES > LARGEST_BYTES {
                break;
            }
            serde_json::to_writer(&mut lines, letter)?;
            lines.push(b'\n');
            kept += 1;
        }
        if kept == 0 {
            return Ok(0);
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let mut file = owner_only(&mut options).open(&self.path)?;
        file.write_all(&lines)?;
        file.sync_data()?;
        self.path.parent().map_or(Ok(()), sync_folder)?;
        Ok(kept)
    }

    /// Whether the file takes nothing more.
    pub fn is_full(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|data| data.len() + RESERVE_BYTES > LARGEST_BYTES)
    }

    fn ends_with_newline(&self) -> io::Result<bool> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let Ok(mut file) = fs::File::open(&self.path) else {
            return Ok(true);
        };
        let mut last = [b'\n'];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        Ok(last == *b"\n")
    }

    /// How many letters the file has.
    pub fn count(&self) -> u64 {
        let Ok(file) = fs::File::open(&self.path) else {
            return 0;
        };
        BufReader::new(file)
            .split(b'\n')
            .map_while(Result::ok)
            .filter(|line| !line.is_empty())
            .count() as u64
    }

    /// The newest `limit` letters, newest first. Lines that are no letters are passed over.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn newest(&self, limit: usize) -> io::Result<Vec<DeadLetter>> {
        let text = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        Ok(text
            .rsplit(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .take(limit)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_protocol::error::ErrorType;
    use dgon_protocol::id::RequestId;

    fn letter(id: &str) -> DeadLetter {
        DeadLetter {
            refused_s: 1,
            refusal: Refused {
                request_id: RequestId::parse(id).ok(),
                kind: ErrorType::InvalidSignature,
                message: "the signature does not hold".into(),
            },
            seq: Some(3),
            receipt: RawValue::from_string(r#"{"a":1}"#.to_owned()).ok(),
        }
    }

    #[test]
    fn letters_come_back_newest_first_past_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::in_dir(dir.path());
        assert_eq!((letters.count(), letters.newest(9).unwrap().len()), (0, 0));
        letters.append(&[letter("r_1"), letter("r_2")]).unwrap();
        let path = dir.path().join(FILE_NAME);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        letters.append(&[letter("r_3")]).unwrap();
        let ids: Vec<String> = letters
            .newest(9)
            .unwrap()
            .iter()
            .filter_map(|found| found.refusal.request_id.as_ref().map(ToString::to_string))
            .collect();
        assert_eq!(ids, ["r_3", "r_1"]);
        let receipt = letters.newest(1).unwrap().remove(0).receipt.unwrap();
        assert_eq!(receipt.get(), r#"{"a":1}"#);
    }

    #[test]
    fn a_full_file_keeps_what_it_has_and_takes_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::in_dir(dir.path());
        assert_eq!(letters.append(&[letter("r_first")]).unwrap(), 1);
        let many: Vec<DeadLetter> = (0..1_000).map(|_| letter("r_2")).collect();
        while letters.append(&many).unwrap() == many.len() {
            assert!(!letters.is_full());
        }
        assert!(letters.is_full());
        assert_eq!(letters.append(&many).unwrap(), 0);
        let length = fs::metadata(dir.path().join(FILE_NAME)).unwrap().len();
        assert!(length <= LARGEST_BYTES, "{length}");
        let oldest = letters.newest(usize::MAX).unwrap().pop().unwrap();
        assert_eq!(oldest.refusal.request_id, RequestId::parse("r_first").ok());
    }
}
