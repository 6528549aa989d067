//! What a change of keys leaves on the disk, so that it can be cut off anywhere and goes on at the next start.
//!
//! | file | what |
//! |---|---|
//! | `node.key` | the key in use; replacing it by a rename is the one moment at which the node changes over |
//! | `node.key.next` | the key to come |
//! | `rotations/OLD.json` | the statement of the change from the key with this short name, and how far it is |
//! | `retired/OLD/` | the spool of that key, whole |
//!
//! The spool goes aside before the key is replaced. So a folder `retired/` of the key in use means that the change
//! was cut between the two; [`settle`] puts it back. Nothing here is ever deleted before what replaces it is durable.

use crate::config::StateDir;
use crate::files;
use crate::identity::{self, IdentityError};
use crate::receipts::ChainEnd;
use dgon_protocol::id::NodeId;
use dgon_protocol::key::{NodeKey, PublicKey};
use dgon_protocol::rotate::{Closing, Rotation};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Largest record, bytes.
const RECORD_BYTES: u64 = 16 * 1024;

/// Why the files of a change of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A key file cannot be used.
    #[error("a key file cannot be used")]
    Key(#[source] IdentityError),
    /// A file or folder cannot be read or written.
    #[error(
        "cannot {operation} {}; check the permissions and free space of the state directory",
        path.display()
    )]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Two spools of the key in use.
    #[error(
        "both {} and {} hold receipts of the key in use; move one of them out of the state directory",
        .0.display(),
        .1.display()
    )]
    TwoSpools(PathBuf, PathBuf),
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Io {
        operation,
        path,
        source,
    }
}

/// One change of keys, as `rotations/OLD.json` keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What both keys signed.
    pub rotation: Rotation,
    /// When the control plane was asked first, unix s; absent before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_s: Option<u64>,
    /// What the control plane answered: since when the new key is valid, unix ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from_ms: Option<i64>,
    /// The old key's word on where its chain ends; absent where its end was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
    /// The control plane has the closing, or will not take it.
    #[serde(default)]
    pub closing_told: bool,
}

impl Record {
    /// Short name of the old key.
    pub fn old_id(&self) -> String {
        self.rotation.old_key.key_id()
    }
}

/// Brings a state directory in order that a crash left between two steps. The caller holds its lock.
///
/// # Errors
/// [`FilesError`].
pub fn settle(state: &StateDir) -> Result<(), FilesError> {
    let key = identity::load_key(state).map_err(FilesError::Key)?;
    let aside = state.retired_dir(&key.public().key_id());
    if !aside.is_dir() {
        return Ok(());
    }
    let spool = state.spool_dir();
    if spool.is_dir() {
        if has_receipts(&spool).map_err(failed("read", &spool))? {
            return Err(FilesError::TwoSpools(spool, aside));
        }
        fs::remove_dir_all(&spool).map_err(failed("remove", &spool))?;
    }
    fs::rename(&aside, &spool).map_err(failed("rename", &aside))?;
    sync_both(state).map_err(failed("sync", state.path()))
}

fn has_receipts(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if entry?.file_name().to_string_lossy().ends_with(".seg") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The key to come, where a change has begun.
///
/// # Errors
/// [`FilesError::Key`].
pub fn next_key(state: &StateDir) -> Result<Option<NodeKey>, FilesError> {
    match identity::load_key_at(&state.next_key_file()) {
        Ok(key) => Ok(Some(key)),
        Err(IdentityError::NotEnrolled(_)) => Ok(None),
        Err(error) => Err(FilesError::Key(error)),
    }
}

/// The change that has begun from the key in use, begun now where there is none.
///
/// # Errors
/// [`FilesError`].
pub fn prepare(
    state: &StateDir,
    node_id: &NodeId,
    old: &NodeKey,
    now_s: u64,
) -> Result<Record, FilesError> {
    let next = match next_key(state)? {
        Some(key) => key,
        None => identity::create_key_at(&state.next_key_file()).map_err(FilesError::Key)?,
    };
    let begun = read_record(state, &old.public().key_id())?;
    if let Some(record) = begun
        && record.rotation.new_key == next.public()
        && record.rotation.node_id == *node_id
    {
        return Ok(record);
    }
    let record = Record {
        rotation: Rotation::sign(node_id, old, &next, now_s),
        asked_s: None,
        valid_from_ms: None,
        closing: None,
        closing_told: false,
    };
    write_record(state, &record)?;
    Ok(record)
}

/// Forgets a key to come that the network refuses; the key in use stays.
///
/// # Errors
/// [`FilesError::Io`].
pub fn abandon(state: &StateDir) -> Result<(), FilesError> {
    let path = state.next_key_file();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &path)(error))
        }
        _ => files::sync_dir(state.path()).map_err(failed("sync", state.path())),
    }
}

/// Changes over: the closing is kept, the spool goes aside, the key is replaced. Nobody writes the spool meanwhile.
///
/// # Errors
/// [`FilesError`]; [`settle`] then finds which key is in use.
pub fn change_over(
    state: &StateDir,
    old: &NodeKey,
    record: &mut Record,
    end: Option<ChainEnd>,
) -> Result<(), FilesError> {
    for step in STEPS {
        step(state, old, record, end)?;
    }
    Ok(())
}

type Step = fn(&StateDir, &NodeKey, &mut Record, Option<ChainEnd>) -> Result<(), FilesError>;

/// The steps of [`change_over`]; after each of them the directory is one that [`settle`] brings in order.
pub const STEPS: [Step; 3] = [keep_closing, put_spool_aside, replace_key];

fn keep_closing(
    state: &StateDir,
    old: &NodeKey,
    record: &mut Record,
    end: Option<ChainEnd>,
) -> Result<(), FilesError> {
    let node_id = &record.rotation.node_id;
    record.closing = end.map(|end| Closing::sign(node_id, old, end.last_seq, end.last_hash));
    write_record(state, record)
}

fn put_spool_aside(
    state: &StateDir,
    old: &NodeKey,
    _record: &mut Record,
    _end: Option<ChainEnd>,
) -> Result<(), FilesError> {
    let spool = state.spool_dir();
    if !spool.is_dir() {
        return Ok(());
    }
    let aside = state.retired_dir(&old.public().key_id());
    let parent = state.retired_root();
    files::create_private_dir(&parent).map_err(failed("make", &parent))?;
    fs::rename(&spool, &aside).map_err(failed("rename", &spool))?;
    sync_both(state).map_err(failed("sync", state.path()))
}

fn replace_key(
    state: &StateDir,
    _old: &NodeKey,
    _record: &mut Record,
    _end: Option<ChainEnd>,
) -> Result<(), FilesError> {
    let next = state.next_key_file();
    fs::rename(&next, state.key_file()).map_err(failed("rename", &next))?;
    files::sync_dir(state.path()).map_err(failed("sync", state.path()))
}

fn sync_both(state: &StateDir) -> io::Result<()> {
    files::sync_dir(&state.retired_root())?;
    files::sync_dir(state.path())
}

/// Writes a record durably.
///
/// # Errors
/// [`FilesError::Io`].
pub fn write_record(state: &StateDir, record: &Record) -> Result<(), FilesError> {
    let path = state.rotation_file(&record.old_id());
    let folder = state.rotations_dir();
    let text = serde_json::to_vec_pretty(record).map_err(|error| FilesError::Io {
        operation: "write",
        path: path.clone(),
        source: error.into(),
    })?;
    files::create_private_dir(&folder)
        .and_then(|()| files::write_private(&path, &text))
        .map_err(failed("write", &path))
}

/// The record of the change from the key with this short name. One that is damaged counts as absent: the statement
/// can be signed again, and the control plane has its own copy.
///
/// # Errors
/// [`FilesError::Io`].
pub fn read_record(state: &StateDir, old_id: &str) -> Result<Option<Record>, FilesError> {
    let path = state.rotation_file(old_id);
    match files::read_small(&path, RECORD_BYTES) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

/// The changes that led to `key`, the latest first.
///
/// # Errors
/// [`FilesError::Io`].
pub fn history(state: &StateDir, key: &PublicKey) -> Result<Vec<Record>, FilesError> {
    let folder = state.rotations_dir();
    let names = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", &folder)(error)),
    };
    let mut records = Vec::new();
    for entry in names {
        let name = entry.map_err(failed("read", &folder))?.file_name();
        if let Some(id) = name.to_string_lossy().strip_suffix(".json") {
            records.extend(read_record(state, id)?);
        }
    }
    let mut line = Vec::new();
    let mut at = *key;
    // Each step takes a record away, so damaged files cannot make a circle.
    while let Some(found) = records
        .iter()
        .position(|record| record.rotation.new_key == at)
    {
        let record = records.swap_remove(found);
        at = record.rotation.old_key;
        line.push(record);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Folder, Spool};
    use dgon_agent_core::spool::Limits;
    use dgon_protocol::receipt::Sha256Hash;

    struct Machine {
        _dir: tempfile::TempDir,
        state: StateDir,
        node_id: NodeId,
        old: NodeKey,
    }

    fn machine() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path().join("state"));
        let old = identity::create_key(&state).unwrap();
        let folder = Folder::open(&state.spool_dir()).unwrap();
        Spool::open(folder, &old.public().key_id(), Limits::default(), 1).unwrap();
        Machine {
            _dir: dir,
            state,
            node_id: NodeId::parse("rig-7").unwrap(),
            old,
        }
    }

    fn end() -> Option<ChainEnd> {
        Some(ChainEnd {
            last_seq: 0,
            last_hash: Sha256Hash::ZERO,
        })
    }

    /// Opens what is there as a starting agent does; the key in use.
    fn start(state: &StateDir) -> NodeKey {
        settle(state).unwrap();
        let key = identity::load_key(state).unwrap();
        let folder = Folder::open(&state.spool_dir()).unwrap();
        Spool::open(folder, &key.public().key_id(), Limits::default(), 1).unwrap();
        key
    }

    #[test]
    fn a_change_cut_after_any_step_leaves_one_usable_key_and_can_be_finished() {
        for cut in 0..=STEPS.len() {
            for twice in [false, true] {
                let Machine {
                    _dir,
                    state,
                    node_id,
                    old,
                } = machine();
                let mut record = prepare(&state, &node_id, &old, 7).unwrap();
                let next = next_key(&state).unwrap().unwrap();
                for step in &STEPS[..cut] {
                    step(&state, &old, &mut record, end()).unwrap();
                }
                if twice {
                    settle(&state).unwrap();
                }
                let key = start(&state);
                let changed = cut == STEPS.len();
                assert_eq!(key.public() == next.public(), changed, "cut after {cut}");
                if !changed {
                    assert_eq!(key.public(), old.public());
                    let mut again = prepare(&state, &node_id, &old, 9).unwrap();
                    assert_eq!(
                        again.rotation, record.rotation,
                        "the same statement goes on"
                    );
                    change_over(&state, &old, &mut again, end()).unwrap();
                    assert_eq!(start(&state).public(), next.public());
                }
                assert!(next_key(&state).unwrap().is_none());
                let line = history(&state, &next.public()).unwrap();
                assert_eq!(line.len(), 1);
                assert!(line[0].closing.as_ref().unwrap().holds());
                assert!(state.retired_dir(&old.public().key_id()).is_dir());
            }
        }
    }

    #[test]
    fn a_key_to_come_without_its_record_gets_a_new_statement() {
        let machine = machine();
        let state = &machine.state;
        let first = prepare(state, &machine.node_id, &machine.old, 7).unwrap();
        let file = state.rotation_file(&machine.old.public().key_id());
        for content in ["", "{", "{\"rotation\":{}}"] {
            files::write_private(&file, content.as_bytes()).unwrap();
            let again = prepare(state, &machine.node_id, &machine.old, 8).unwrap();
            assert_eq!(again.rotation.new_key, first.rotation.new_key);
            assert_eq!(again.rotation.check(), Ok(()));
        }
        abandon(state).unwrap();
        abandon(state).unwrap();
        let other = prepare(state, &machine.node_id, &machine.old, 9).unwrap();
        assert_ne!(other.rotation.new_key, first.rotation.new_key);
    }

    #[test]
    fn several_changes_are_told_in_their_order() {
        let machine = machine();
        let state = &machine.state;
        let mut olds = Vec::new();
        for _ in 0..3 {
            let old = start(state);
            let mut record = prepare(state, &machine.node_id, &old, 7).unwrap();
            change_over(state, &old, &mut record, end()).unwrap();
            olds.insert(0, old.public().key_id());
        }
        let key = start(state).public();
        let line = history(state, &key).unwrap();
        let told: Vec<String> = line.iter().map(Record::old_id).collect();
        assert_eq!(told, olds);
    }
}
