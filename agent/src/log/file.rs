//! A log file that never grows beyond its bound.
//!
//! A full file is renamed to `NAME.1`, what was `NAME.1` to `NAME.2`, and so on; the oldest is deleted. Files are
//! their owner's alone. A file that somebody else renamed or deleted is made anew with the next line, so that other
//! rotation programs work, too. A disk that takes nothing costs lines, never the agent.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file and those that it was before.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
    /// Lines that the disk did not take.
    lost: u64,
}

impl RotatingFile {
    /// Opens `path` to write at its end; `keep` older files of at most `max_bytes` stay beside it.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(path: &Path, max_bytes: u64, keep: u32) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(Self {
            path: path.to_owned(),
            max_bytes,
            keep,
            open: Mutex::new(Open::at(path)?),
        })
    }

    /// Writes one line whole, in this file or the next.
    fn line(&self, line: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.write(&mut open, line);
        match &written {
            Ok(()) if open.lost > 0 => {
                let lost = std::mem::take(&mut open.lost);
                self.write(
                    &mut open,
                    format!("{lost} lines were lost: the disk took none\n").as_bytes(),
                )?;
            }
            Ok(()) => {}
            Err(_) => open.lost += 1,
        }
        written
    }

    fn write(&self, open: &mut Open, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if open.bytes > 0 && open.bytes.saturating_add(length) > self.max_bytes {
            self.rotate()?;
            open.begin(&self.path)?;
        } else if !open.is_at(&self.path) {
            open.begin(&self.path)?;
        }
        open.file.write_all(line)?;
        open.bytes += length;
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        for age in (0..self.keep).rev() {
            match fs::rename(self.aged(age), self.aged(age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.keep == 0 {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    /// The file of an age; 0 is the one that is written.
    fn aged(&self, age: u32) -> PathBuf {
        if age == 0 {
            return self.path.clone();
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{age}"));
        name.into()
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        let file = crate::files::private(&mut options).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            file,
            bytes,
            lost: 0,
        })
    }

    /// Goes on in a fresh file, with the count of lost lines.
    fn begin(&mut self, path: &Path) -> io::Result<()> {
        *self = Self {
            lost: self.lost,
            ..Self::at(path)?
        };
        Ok(())
    }

    fn is_at(&self, path: &Path) -> bool {
        crate::files::is_same(&self.file, path)
    }
}

impl Write for &RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/agent.log");
        let log = RotatingFile::open(&path, 10, 2).unwrap();
        for line in ["one 567\n", "two 567\n", "three 7\n", "four 67\n"] {
            (&log).write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(read(&path), "four 67\n");
        assert_eq!(read(&log.aged(1)), "three 7\n");
        assert_eq!(read(&log.aged(2)), "two 567\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 3);
    }

    #[test]
    fn a_restart_goes_on_in_the_same_file_and_counts_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.log");
        for line in ["1234\n", "5678\n", "90\n"] {
            let log = RotatingFile::open(&path, 10, 1).unwrap();
            (&log).write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(read(&path), "90\n");
        assert_eq!(read(&dir.path().join("agent.log.1")), "1234\n5678\n");
    }

    #[test]
    fn without_older_files_the_only_one_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.log");
        let log = RotatingFile::open(&path, 6, 0).unwrap();
        (&log).write_all(b"first\n").unwrap();
        (&log)
            .write_all(b"second, longer than a file may be\n")
            .unwrap();
        assert_eq!(read(&path), "second, longer than a file may be\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn the_file_is_its_owners_alone_and_comes_back_when_it_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.log");
        let log = RotatingFile::open(&path, 1_000, 1).unwrap();
        (&log).write_all(b"a\n").unwrap();
        assert_eq!(crate::files::open_to_others(&path).unwrap(), None);
        fs::rename(&path, dir.path().join("taken")).unwrap();
        (&log).write_all(b"b\n").unwrap();
        assert_eq!(read(&path), "b\n");
        fs::remove_file(&path).unwrap();
        (&log).write_all(b"c\n").unwrap();
        assert_eq!(read(&path), "c\n");
    }

    #[test]
    #[cfg(unix)]
    fn lines_that_the_disk_did_not_take_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("logs");
        let path = folder.join("agent.log");
        let log = RotatingFile::open(&path, 1_000, 1).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        for _ in 0..3 {
            assert!((&log).write_all(b"lost\n").is_err());
        }
        fs::create_dir(&folder).unwrap();
        (&log).write_all(b"back\n").unwrap();
        assert_eq!(read(&path), "back\n3 lines were lost: the disk took none\n");
    }
}
