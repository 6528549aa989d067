//! Group `config`: can agent.yaml be read, and by whom written?

use super::{chain, word};
use crate::doctor::examine::{Examination, Told};
use crate::doctor::{Check, CheckId, Patient};
use crate::files;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::ConfigParse,
        CheckId::ConfigFileMode,
        CheckId::ConfigStateMode,
    ],
    run: |patient, told| Box::pin(check(patient, told)),
};

async fn check(patient: Arc<Patient>, told: Told) {
    told.tell(parse(&patient));
    // A disk that hangs blocks its thread, not the doctor.
    let looked = tokio::task::spawn_blocking(move || {
        told.tell(file_mode(&patient));
        told.tell(state_mode(&patient));
    });
    drop(looked.await);
}

fn parse(patient: &Patient) -> Check {
    let file = &patient.paths.config_file;
    let check = Check::new(CheckId::ConfigParse, file.display().to_string());
    match &patient.config {
        Ok(loaded) if loaded.file.is_none() => check.warn(
            "there is no configuration file, so the defaults hold and no control plane is named unless the \
             environment names one",
            patient.enrol_command(),
        ),
        Ok(_) => check.ok("the configuration is valid"),
        Err(error) => check.fail(chain(error), patient.command("config check")),
    }
}

/// Who can write the file decides where receipts go and what the network may do here.
fn file_mode(patient: &Patient) -> Check {
    let file = &patient.paths.config_file;
    let check = Check::new(CheckId::ConfigFileMode, file.display().to_string());
    match files::writable_by_others(file) {
        Ok(None) => check.ok("only its owner can change it"),
        Ok(Some(mode)) => check.fail(
            format!("others can change it (mode {mode:04o}), and with it what this agent does"),
            format!("chmod go-w {}", word(file)),
        ),
        Err(error) => unseen(check, file, &error, "there is no file to look at"),
    }
}

fn state_mode(patient: &Patient) -> Check {
    let state = patient.paths.state.path();
    let check = Check::new(CheckId::ConfigStateMode, state.display().to_string());
    match files::open_to_others(state) {
        Ok(None) => check.ok("only its owner can enter the state directory"),
        Ok(Some(mode)) => check.warn(
            format!("others can look into the state directory (mode {mode:04o})"),
            format!("chmod 700 {}", word(state)),
        ),
        Err(error) => unseen(check, state, &error, "there is no state directory yet"),
    }
}

fn unseen(check: Check, path: &Path, error: &io::Error, absent: &str) -> Check {
    if error.kind() == io::ErrorKind::NotFound {
        check.skip(absent)
    } else {
        check.fail(
            format!("it cannot be looked at: {error}"),
            format!("ls -ld {}", word(path)),
        )
    }
}
