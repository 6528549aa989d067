//! Group `disk`: room, and writing.

use super::HERE;
use crate::config::Config;
use crate::doctor::examine::{Examination, Reporter};
use crate::doctor::{Check, CheckId, Subject};
use crate::files;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the disk may take.
const DISK: Duration = Duration::from_millis(3_000);
const MIB: u64 = 1024 * 1024;
/// Below this the spool cannot work at all.
const LEAST_BYTES: u64 = 64 * MIB;

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[CheckId::DiskFree, CheckId::DiskWritable],
    run: |subject, reporter| Box::pin(check(subject, reporter)),
};

async fn check(subject: Arc<Subject>, reporter: Reporter) {
    let state = subject.paths.state.path().to_owned();
    let defaults = Config::default();
    let limit = subject.values().unwrap_or(&defaults).spool.max_mib;
    let (teller, dir) = (reporter.clone(), state.clone());
    // A disk that hangs blocks its thread, not the doctor.
    let looking = tokio::task::spawn_blocking(move || {
        teller.tell(free(&dir, limit));
        teller.tell(writable(&dir));
    });
    if timeout(DISK, looking).await.is_err() {
        let check = Check::new(CheckId::DiskWritable, state.display().to_string());
        reporter.tell(check.fail(
            "the disk of the state directory does not answer within 3 s",
            HERE.kernel_log(),
        ));
        reporter.rest("the disk does not answer");
    }
}

/// The nearest directory that exists: a machine that is not enrolled yet has no state directory.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|dir| dir.is_dir())
        .unwrap_or(Path::new("."))
        .to_owned()
}

fn free(state: &Path, spool_mib: u64) -> Check {
    let dir = existing(state);
    let check = Check::new(CheckId::DiskFree, dir.display().to_string());
    let fix = HERE.free_space(&dir);
    match files::free_bytes(&dir) {
        Ok(Some(bytes)) => room(check, bytes, spool_mib, fix),
        Ok(None) => check.skip("this system does not tell the free space"),
        Err(error) => check.fail(format!("the free space cannot be read: {error}"), fix),
    }
}

fn room(check: Check, bytes: u64, spool_mib: u64, fix: String) -> Check {
    let mib = bytes / MIB;
    if bytes < LEAST_BYTES {
        check.fail(
            format!("only {mib} MiB are free; receipts cannot be kept"),
            fix,
        )
    } else if mib < spool_mib {
        check.warn(
            format!("{mib} MiB are free, less than the {spool_mib} MiB that the spool may take"),
            fix,
        )
    } else {
        check.ok(format!("{mib} MiB are free"))
    }
}

fn writable(state: &Path) -> Check {
    let check = Check::new(CheckId::DiskWritable, state.display().to_string());
    if !state.is_dir() {
        return check.skip("there is no state directory yet");
    }
    let probe = state.join(".doctor");
    match files::write_private(&probe, b"doctor\n").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => check.ok("files can be written and synced"),
        Err(error) if probe.is_dir() => check.fail(
            format!("the state directory cannot be written: {error}; a directory is in the way"),
            HERE.remove_tree(&probe),
        ),
        Err(error) => check.fail(
            format!(
                "the state directory cannot be written: {error}; the proxy would refuse every request"
            ),
            HERE.shell()
                .both(&HERE.show_owner(state), &HERE.free_space(state)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn little_room_is_a_warning_and_none_a_failure() {
        let outcome = |mib: u64| {
            let check = Check::new(CheckId::DiskFree, "/");
            room(check, mib * MIB, 256, String::new()).outcome
        };
        assert_eq!(outcome(10_000), Outcome::Ok);
        assert_eq!(outcome(200), Outcome::Warn);
        assert_eq!(outcome(63), Outcome::Fail);
    }
}
