//! Group `identity`: key and secret are there, are this user's alone, and are of the node that is configured.

use super::{chain, word};
use crate::doctor::examine::Examination;
use crate::doctor::{Check, CheckId, Patient};
use crate::identity::IdentityError;

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::IdentityKey,
        CheckId::IdentitySecret,
        CheckId::IdentityNode,
    ],
    run: |patient, told| {
        Box::pin(async move {
            told.tell(key(&patient));
            told.tell(secret(&patient));
            told.tell(node(&patient));
        })
    },
};

fn key(patient: &Patient) -> Check {
    let file = patient.paths.state.key_file();
    let check = Check::new(CheckId::IdentityKey, file.display().to_string());
    match &patient.key {
        Ok(key) => check.ok(format!(
            "the receipt key is there, key id {}",
            key.public().key_id()
        )),
        Err(error) => check.fail(chain(error), fix(patient, error)),
    }
}

fn secret(patient: &Patient) -> Check {
    let file = patient.paths.state.secret_file();
    let check = Check::new(CheckId::IdentitySecret, file.display().to_string());
    match &patient.enrolment {
        Ok(_) => check.ok("the node secret is there and this user's alone"),
        Err(error) => check.fail(chain(error), fix(patient, error)),
    }
}

fn fix(patient: &Patient, error: &IdentityError) -> String {
    match error {
        IdentityError::NotEnrolled(_) => patient.enrol_command(),
        IdentityError::Exposed { path, .. } => format!("chmod 600 {}", word(path)),
        IdentityError::Read { path, .. } => format!("ls -l {}", word(path)),
        // Nothing is lost: a damaged file is put aside, and enrolment makes a new one.
        IdentityError::Damaged(path) => {
            let path = word(path);
            format!("mv {path} {path}.damaged && {}", patient.enrol_command())
        }
        _ => patient.bundle_command(),
    }
}

fn node(patient: &Patient) -> Check {
    let check = Check::new(
        CheckId::IdentityNode,
        "node.id of the configuration and the enrolled name",
    );
    let (Ok(enrolment), Some(config)) = (&patient.enrolment, patient.values()) else {
        return check.skip("the identity or the configuration cannot be read");
    };
    match &config.node.id {
        Some(id) if *id != enrolment.node_id => check.fail(
            format!(
                "the configuration says {id}, but this machine is enrolled as {}; the agent will not start",
                enrolment.node_id
            ),
            format!(
                "sed -i 's/{id}/{}/' {}",
                enrolment.node_id,
                word(&patient.paths.config_file)
            ),
        ),
        _ => check.ok(format!("this machine is {}", enrolment.node_id)),
    }
}
