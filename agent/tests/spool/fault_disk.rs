//! A disk in memory on which any step can fail, done or not done or half done, and that can lose power.
//!
//! It is as unkind as real ones: bytes are durable only after a sync, names only after a sync of names; a sync that
//! failed forgets what it did not write, so that the next one succeeds without it; at a crash each write and name
//! that was not synced may have reached the disk or not, in any combination.

use dgon_agent::spool::disk::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a failing step has done all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    Everything,
    Half,
}

impl Effect {
    pub(crate) const ALL: [Self; 3] = [Self::Nothing, Self::Everything, Self::Half];
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

#[derive(Debug, Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<Change>,
}

#[derive(Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    dirty_names: Vec<NameChange>,
    steps: u64,
    faults: BTreeMap<u64, Effect>,
    broken: Option<Effect>,
}

/// The disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultDisk(Arc<Mutex<State>>);

impl FaultDisk {
    /// From now on whoever touches the disk panics.
    #[expect(clippy::panic, reason = "that is what it is for")]
    pub(crate) fn poison(&self) {
        let state = Arc::clone(&self.0);
        let poisoning = std::thread::spawn(move || {
            let _held = state.lock();
            panic!("the disk is poisoned");
        });
        drop(poisoning.join());
    }
}

pub(crate) struct FaultFile {
    disk: FaultDisk,
    content: usize,
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, written) => {
            let offset = usize::try_from(*offset).unwrap();
            let end = offset + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[offset..end].copy_from_slice(written);
        }
        Change::SetLen(len) => bytes.resize(usize::try_from(*len).unwrap(), 0),
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Link(name, content) => {
            names.insert(name.clone(), *content);
        }
        NameChange::Unlink(name) => {
            names.remove(name);
        }
        NameChange::Rename(from, to) => {
            if let Some(content) = names.remove(from) {
                names.insert(to.clone(), content);
            }
        }
    }
}

fn failure() -> io::Error {
    io::Error::other("injected")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl State {
    /// Counts a step; the effect that it has where it fails.
    fn step(&mut self) -> Option<Effect> {
        let at = self.steps;
        self.steps += 1;
        self.faults.remove(&at).or(self.broken)
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let fails = self.step();
        if fails != Some(Effect::Nothing) {
            apply_name(&mut self.names, &change);
            self.dirty_names.push(change);
        }
        fails.map_or(Ok(()), |_| Err(failure()))
    }
}

impl FaultDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Steps that changed something so far.
    pub(crate) fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Lets the step with this number fail.
    pub(crate) fn fail_at(&self, step: u64, effect: Effect) {
        self.state().faults.insert(step, effect);
    }

    /// Lets every step fail, or none any more.
    pub(crate) fn set_broken(&self, effect: Option<Effect>) {
        let mut state = self.state();
        state.broken = effect;
        state.faults.clear();
    }

    /// Turns a bit over in the file with this name, on the disk itself.
    pub(crate) fn flip(&self, name: &str, at: usize) {
        let mut state = self.state();
        let content = state.names[name];
        state.contents[content].seen[at] ^= 1;
        state.contents[content].durable[at] ^= 1;
    }

    /// Power fails: `choose` says of each unsynced change how much of it, in 0 to 2 halves, has reached the disk.
    pub(crate) fn crash(&self, mut choose: impl FnMut() -> u8) {
        let mut state = self.state();
        for content in &mut state.contents {
            for change in std::mem::take(&mut content.dirty) {
                match (choose() % 3, &change) {
                    (0, _) => {}
                    (1, Change::Write(offset, bytes)) => {
                        let half = Change::Write(*offset, bytes[..bytes.len() / 2].to_vec());
                        apply(&mut content.durable, &half);
                    }
                    _ => apply(&mut content.durable, &change),
                }
            }
            content.seen = content.durable.clone();
        }
        for change in std::mem::take(&mut state.dirty_names) {
            if choose().is_multiple_of(2) {
                apply_name(&mut state.durable_names, &change);
            }
        }
        state.names = state.durable_names.clone();
        state.faults.clear();
        state.broken = None;
    }
}

impl Disk for FaultDisk {
    type File = FaultFile;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        let state = self.state();
        let content = *state.names.get(name).ok_or_else(not_found)?;
        Ok(state.contents[content].seen.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let state = self.state();
        let content = *state.names.get(name).ok_or_else(not_found)?;
        let seen = &state.contents[content].seen;
        let from = seen.len().min(usize::try_from(offset).unwrap());
        let to = seen.len().min(from.saturating_add(len));
        Ok(seen[from..to].to_vec())
    }

    fn create(&self, name: &str) -> io::Result<FaultFile> {
        let mut state = self.state();
        let fails = state.step();
        if fails != Some(Effect::Nothing) {
            match state.names.get(name).copied() {
                Some(content) => {
                    let file = &mut state.contents[content];
                    file.seen.clear();
                    file.dirty.push(Change::SetLen(0));
                }
                None => {
                    let content = state.contents.len();
                    state.contents.push(Content::default());
                    let change = NameChange::Link(name.to_owned(), content);
                    apply_name(&mut state.names, &change);
                    state.dirty_names.push(change);
                }
            }
        }
        match fails {
            Some(_) => Err(failure()),
            None => Ok(FaultFile {
                disk: self.clone(),
                content: state.names[name],
            }),
        }
    }

    fn open(&self, name: &str) -> io::Result<FaultFile> {
        let mut state = self.state();
        if state.step().is_some() {
            return Err(failure());
        }
        let content = *state.names.get(name).ok_or_else(not_found)?;
        Ok(FaultFile {
            disk: self.clone(),
            content,
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(from) {
            return Err(not_found());
        }
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(not_found());
        }
        state.change_name(NameChange::Unlink(name.to_owned()))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        let fails = state.step();
        let reaching = match fails {
            Some(Effect::Nothing) => 0,
            Some(Effect::Half) => state.dirty_names.len() / 2,
            Some(Effect::Everything) | None => state.dirty_names.len(),
        };
        for change in state.dirty_names.drain(..reaching).collect::<Vec<_>>() {
            apply_name(&mut state.durable_names, &change);
        }
        fails.map_or(Ok(()), |_| Err(failure()))
    }
}

impl DiskFile for FaultFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let fails = state.step();
        let reaching = match fails {
            Some(Effect::Nothing) => 0,
            Some(Effect::Half) => bytes.len() / 2,
            Some(Effect::Everything) | None => bytes.len(),
        };
        if reaching > 0 {
            let change = Change::Write(offset, bytes[..reaching].to_vec());
            let content = &mut state.contents[self.content];
            apply(&mut content.seen, &change);
            content.dirty.push(change);
        }
        fails.map_or(Ok(()), |_| Err(failure()))
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let fails = state.step();
        if fails != Some(Effect::Nothing) {
            let content = &mut state.contents[self.content];
            apply(&mut content.seen, &Change::SetLen(len));
            content.dirty.push(Change::SetLen(len));
        }
        fails.map_or(Ok(()), |_| Err(failure()))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fails = state.step();
        let content = &mut state.contents[self.content];
        let dirty = std::mem::take(&mut content.dirty);
        let reaching = match fails {
            Some(Effect::Nothing) => 0,
            Some(Effect::Half) => dirty.len() / 2,
            Some(Effect::Everything) | None => dirty.len(),
        };
        for (at, change) in dirty.into_iter().enumerate() {
            if at < reaching {
                apply(&mut content.durable, &change);
            } else if matches!(change, Change::SetLen(_)) {
                // Lengths are the filesystem's own; only data is forgotten.
                content.dirty.push(change);
            }
        }
        fails.map_or(Ok(()), |_| Err(failure()))
    }
}
