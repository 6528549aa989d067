//! Group `config`: can agent.yaml be read, and by whom written?

use super::{chain, word};
use crate::doctor::{Check, Patient};
use crate::files;

const GROUP: &str = "config";

pub(in crate::doctor) fn check(patient: &Patient) -> Vec<Check> {
    vec![parse(patient), file_mode(patient), state_mode(patient)]
}

fn parse(patient: &Patient) -> Check {
    let file = &patient.paths.config_file;
    let check = Check::new(GROUP, "parse", &file.display().to_string());
    match &patient.config {
        Ok(loaded) if loaded.file.is_none() => check.warn(
            "there is no configuration file, so the defaults hold and no control plane is named unless the \
             environment names one",
            patient.enrol_command(),
        ),
        Ok(_) => check.ok("the configuration is valid"),
        Err(error) => check.fail(&chain(error), patient.command("config check")),
    }
}

/// Who can write the file decides where receipts go and what the network may do here.
fn file_mode(patient: &Patient) -> Check {
    let file = &patient.paths.config_file;
    let check = Check::new(GROUP, "file_mode", &file.display().to_string());
    match files::writable_by_others(file) {
        Ok(None) => check.ok("only its owner can change it"),
        Ok(Some(mode)) => check.fail(
            &format!("others can change it (mode {mode:04o}), and with it what this agent does"),
            Some(format!("chmod go-w {}", word(file))),
        ),
        Err(_) => check.skip("there is no file to look at"),
    }
}

fn state_mode(patient: &Patient) -> Check {
    let state = patient.paths.state.path();
    let check = Check::new(GROUP, "state_mode", &state.display().to_string());
    match files::open_to_others(state) {
        Ok(None) => check.ok("only its owner can enter the state directory"),
        Ok(Some(mode)) => check.warn(
            &format!("others can look into the state directory (mode {mode:04o})"),
            Some(format!("chmod 700 {}", word(state))),
        ),
        Err(_) => check.skip("there is no state directory yet"),
    }
}
