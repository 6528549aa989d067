//! Groups `disk` and `spool`: room, writing, and what waits.

use super::{chain, word};
use crate::config::{Config, StateDir};
use crate::doctor::{Check, Patient};
use crate::files;
use crate::spool::DeadLetters;
use crate::spool::view::View;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GROUP: &str = "disk";
const MIB: u64 = 1024 * 1024;
/// Below this the spool cannot work at all.
const LEAST_BYTES: u64 = 64 * MIB;

pub(in crate::doctor) async fn check(patient: Arc<Patient>) -> Vec<Check> {
    let asked = crate::local::acked_seq(&patient.paths.state.socket()).await;
    // A disk that hangs blocks its thread, not the doctor.
    let looked = tokio::task::spawn_blocking(move || {
        let defaults = Config::default();
        let config = patient
            .config
            .as_ref()
            .map_or(&defaults, |loaded| &loaded.config);
        look(&patient, config, asked.unwrap_or(0))
    });
    looked.await.unwrap_or_else(|_| {
        vec![
            Check::new(GROUP, "free", "the state directory")
                .fail("looking at the disk failed", None),
        ]
    })
}

fn look(patient: &Patient, config: &Config, acked_seq: u64) -> Vec<Check> {
    let state = &patient.paths.state;
    vec![
        free(state.path(), config),
        writable(state.path()),
        depth(patient, config, acked_seq),
        dead_letters(state),
    ]
}

/// The nearest directory that exists: a machine that is not enrolled yet has no state directory.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|dir| dir.is_dir())
        .unwrap_or(Path::new("."))
        .to_owned()
}

fn free(state: &Path, config: &Config) -> Check {
    let dir = existing(state);
    let check = Check::new(GROUP, "free", &dir.display().to_string());
    let fix = || Some(format!("df -h {}", word(&dir)));
    match files::free_bytes(&dir) {
        Ok(Some(bytes)) => room(check, bytes, config, fix()),
        Ok(None) => check.skip("this system does not tell the free space"),
        Err(error) => check.fail(&format!("the free space cannot be read: {error}"), fix()),
    }
}

fn room(check: Check, bytes: u64, config: &Config, fix: Option<String>) -> Check {
    let mib = bytes / MIB;
    if bytes < LEAST_BYTES {
        check.fail(
            &format!("only {mib} MiB are free; receipts cannot be kept"),
            fix,
        )
    } else if bytes < config.spool.max_bytes() {
        check.warn(
            &format!(
                "{mib} MiB are free, less than the {} MiB that the spool may take",
                config.spool.max_mib
            ),
            fix,
        )
    } else {
        check.ok(&format!("{mib} MiB are free"))
    }
}

fn writable(state: &Path) -> Check {
    let check = Check::new(GROUP, "writable", &state.display().to_string());
    if !state.is_dir() {
        return check.skip("there is no state directory yet");
    }
    let probe = state.join(".doctor");
    match files::write_private(&probe, b"doctor\n").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => check.ok("files can be written and synced"),
        Err(error) => check.fail(
            &format!("the state directory cannot be written: {error}; the proxy would refuse every request"),
            Some(format!("ls -ld {}", word(state))),
        ),
    }
}

fn depth(patient: &Patient, config: &Config, acked_seq: u64) -> Check {
    let folder = patient.paths.state.spool_dir();
    let check = Check::new("spool", "depth", &folder.display().to_string());
    let view = View::of(&folder);
    let newest = match view.newest(1) {
        Ok(newest) => newest.first().map_or(0, |stored| stored.seq),
        Err(error) => {
            return check.fail(
                &format!("the spool cannot be read: {error}"),
                Some(format!("ls -la {}", word(&folder))),
            );
        }
    };
    let waiting = newest.saturating_sub(view.acked_seq().max(acked_seq));
    let limit = config.spool.max_receipts;
    let finding = format!("{waiting} receipts wait for the control plane, at most {limit} may");
    let fix = || patient.command("status");
    if waiting >= limit {
        check.fail(
            &format!("{finding}: the spool is full and the proxy refuses requests"),
            fix(),
        )
    } else if waiting > limit / 2 {
        check.warn(&finding, fix())
    } else {
        check.ok(&finding)
    }
}

fn dead_letters(state: &StateDir) -> Check {
    let file = state.dead_letters();
    let check = Check::new("spool", "dead_letters", &file.display().to_string());
    let letters = DeadLetters::in_dir(state.path());
    let fix = || Some(format!("tail -n 3 {}", word(&file)));
    match (letters.count(), letters.newest(1)) {
        (0, Ok(_)) => check.ok("no receipt was refused"),
        (count, Ok(newest)) => {
            let why = newest.first().map_or(String::new(), |letter| {
                format!(
                    "; the last one as {}: {}",
                    letter.refusal.kind, letter.refusal.message
                )
            });
            check.warn(
                &format!("{count} receipts were refused by the control plane{why}"),
                fix(),
            )
        }
        (_, Err(error)) => check.fail(&chain(&error), fix()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn little_room_is_a_warning_and_none_a_failure() {
        let config = Config::default();
        let outcome =
            |mib: u64| room(Check::new(GROUP, "free", "/"), mib * MIB, &config, None).outcome;
        assert_eq!(outcome(10_000), Outcome::Ok);
        assert_eq!(outcome(200), Outcome::Warn);
        assert_eq!(outcome(63), Outcome::Fail);
    }
}
