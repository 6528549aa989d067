//! Group `identity`: key and secret are there, are this user's alone, and are of the node that is configured.

use super::chain;
use crate::doctor::{Check, Patient};
use crate::identity::IdentityError;

const GROUP: &str = "identity";

pub(in crate::doctor) fn check(patient: &Patient) -> Vec<Check> {
    vec![key(patient), secret(patient), node(patient)]
}

fn key(patient: &Patient) -> Check {
    let file = patient.paths.state.key_file();
    let check = Check::new(GROUP, "key", &file.display().to_string());
    match &patient.key {
        Ok(key) => check.ok(&format!(
            "the receipt key is there, key id {}",
            key.public().key_id()
        )),
        Err(error) => check.fail(&chain(error), fix(patient, error)),
    }
}

fn secret(patient: &Patient) -> Check {
    let file = patient.paths.state.secret_file();
    let check = Check::new(GROUP, "secret", &file.display().to_string());
    match &patient.enrolment {
        Ok(_) => check.ok("the node secret is there and this user's alone"),
        Err(error) => check.fail(&chain(error), fix(patient, error)),
    }
}

fn fix(patient: &Patient, error: &IdentityError) -> Option<String> {
    match error {
        IdentityError::NotEnrolled(_) => patient.enrol_command(),
        IdentityError::Exposed { path, .. } => Some(format!("chmod 600 {}", super::word(path))),
        IdentityError::Read { path, .. } => Some(format!("ls -l {}", super::word(path))),
        IdentityError::Damaged(path) => Some(format!("mv {0} {0}.damaged", super::word(path))),
        IdentityError::Write { .. } | IdentityError::Entropy(_) => None,
    }
}

fn node(patient: &Patient) -> Check {
    let check = Check::new(
        GROUP,
        "node",
        "node.id of the configuration and the enrolled name",
    );
    let (Ok(enrolment), Ok(loaded)) = (&patient.enrolment, &patient.config) else {
        return check.skip("the identity or the configuration cannot be read");
    };
    match &loaded.config.node.id {
        Some(id) if *id != enrolment.node_id => check.fail(
            &format!(
                "the configuration says {id}, but this machine is enrolled as {}; the agent will not start",
                enrolment.node_id
            ),
            Some(format!(
                "sed -i 's/{id}/{}/' {}",
                enrolment.node_id,
                super::word(&patient.paths.config_file)
            )),
        ),
        _ => check.ok(&format!("this machine is {}", enrolment.node_id)),
    }
}
