//! Group `spool`: what waits, and what was refused.

use super::{HERE, chain};
use crate::config::Config;
use crate::doctor::examine::{Examination, Reporter};
use crate::doctor::subject::Asked;
use crate::doctor::{Check, CheckId, Subject};
use crate::spool::DeadLetters;
use crate::spool::view::View;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the disk may take.
const DISK: Duration = Duration::from_millis(2_500);

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[CheckId::SpoolDepth, CheckId::SpoolDeadLetters],
    run: |subject, reporter| Box::pin(check(subject, reporter)),
};

async fn check(subject: Arc<Subject>, reporter: Reporter) {
    // The spool's own file lags behind by some seconds, to spare the disk.
    let acked_seq = match subject.asked().await.as_ref() {
        Asked::Runs(status) => status.spool.acked_seq,
        _ => 0,
    };
    let teller = reporter.clone();
    let looking = tokio::task::spawn_blocking(move || {
        teller.tell(depth(&subject, acked_seq));
        teller.tell(dead_letters(&subject));
    });
    if timeout(DISK, looking).await.is_err() {
        reporter.rest("the disk does not answer within 2.5 s");
    }
}

fn depth(subject: &Subject, acked_seq: u64) -> Check {
    let folder = subject.paths.state.spool_dir();
    let check = Check::new(CheckId::SpoolDepth, folder.display().to_string());
    let view = View::of(&folder);
    let newest = match view.newest(1) {
        Ok(newest) => newest.first().map_or(0, |stored| stored.seq),
        Err(error) => {
            return check.fail(
                format!("the spool cannot be read: {error}"),
                HERE.list(&folder),
            );
        }
    };
    let waiting = newest.saturating_sub(view.acked_seq().max(acked_seq));
    let defaults = Config::default();
    let limit = subject.values().unwrap_or(&defaults).spool.max_receipts;
    let finding = format!("{waiting} receipts wait for the control plane, at most {limit} may");
    // They go as soon as the link stands; why it does not is what `status` says.
    let fix = subject.command("status");
    if waiting >= limit {
        check.fail(
            format!("{finding}: the spool is full and the proxy refuses requests"),
            fix,
        )
    } else if waiting > limit / 2 {
        check.warn(finding, fix)
    } else {
        check.ok(finding)
    }
}

fn dead_letters(subject: &Subject) -> Check {
    let state = &subject.paths.state;
    let file = state.dead_letters();
    let check = Check::new(CheckId::SpoolDeadLetters, file.display().to_string());
    let letters = DeadLetters::in_dir(state.path());
    let put_aside = || HERE.put_aside(&file, "seen");
    match (letters.count(), letters.newest(1)) {
        (0, Ok(_)) => check.ok("no receipt was refused"),
        (count, Ok(_)) if letters.is_full() => check.fail(
            format!(
                "{count} receipts were refused by the control plane and the file is full; receipts that it refuses \
                 from now on stay in the spool alone, until the file is put aside"
            ),
            put_aside(),
        ),
        (count, Ok(newest)) => {
            let why = newest.first().map_or(String::new(), |letter| {
                format!(
                    "; the last one as {}: {}",
                    letter.refusal.kind, letter.refusal.message
                )
            });
            check.warn(
                format!("{count} receipts were refused by the control plane{why}"),
                HERE.shell()
                    .both(&HERE.last_lines(&file, 3), &put_aside()),
            )
        }
        (_, Err(error)) => check.fail(chain(&error), HERE.show_owner(&file)),
    }
}
