//! Group `identity`: key and secret are there, are this user's alone, and are of the node that is configured.

use super::{HERE, chain};
use crate::doctor::examine::Examination;
use crate::doctor::{Check, CheckId, Subject};
use crate::identity::IdentityError;

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::IdentityKey,
        CheckId::IdentitySecret,
        CheckId::IdentityNode,
    ],
    run: |subject, reporter| {
        Box::pin(async move {
            reporter.tell(key(&subject));
            reporter.tell(secret(&subject));
            reporter.tell(node(&subject));
        })
    },
};

fn key(subject: &Subject) -> Check {
    let file = subject.paths.state.key_file();
    let check = Check::new(CheckId::IdentityKey, file.display().to_string());
    match &subject.key {
        Ok(key) => check.ok(format!(
            "the receipt key is there, key id {}",
            key.public().key_id()
        )),
        Err(error) => check.fail(chain(error), fix(subject, error)),
    }
}

fn secret(subject: &Subject) -> Check {
    let file = subject.paths.state.secret_file();
    let check = Check::new(CheckId::IdentitySecret, file.display().to_string());
    match &subject.enrolment {
        Ok(_) => check.ok("the node secret is there and this user's alone"),
        Err(error) => check.fail(chain(error), fix(subject, error)),
    }
}

fn fix(subject: &Subject, error: &IdentityError) -> String {
    match error {
        IdentityError::NotEnrolled(_) => subject.enrol_command(),
        IdentityError::Exposed { exposure, .. } => exposure.command().to_owned(),
        IdentityError::Read { path, .. } => HERE.show_owner(path),
        // Nothing is lost: a damaged file is put aside, and enrolment makes a new one.
        IdentityError::Damaged(path) => {
            let aside = HERE.put_aside(path, "damaged");
            HERE.shell().both(&aside, &subject.enrol_command())
        }
        _ => subject.bundle_command(),
    }
}

fn node(subject: &Subject) -> Check {
    let check = Check::new(
        CheckId::IdentityNode,
        "node.id of the configuration and the enrolled name",
    );
    let (Ok(enrolment), Some(config)) = (&subject.enrolment, subject.values()) else {
        return check.skip("the identity or the configuration cannot be read");
    };
    match &config.node.id {
        Some(id) if *id != enrolment.node_id => check.fail(
            format!(
                "the configuration says {id}, but this machine is enrolled as {}; the agent will not start",
                enrolment.node_id
            ),
            HERE.set_key(
                &subject.paths.config_file,
                "id",
                enrolment.node_id.as_str(),
            ),
        ),
        _ => check.ok(format!("this machine is {}", enrolment.node_id)),
    }
}
