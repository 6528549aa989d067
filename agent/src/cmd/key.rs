//! `key show`.

use super::{Context, print};
use crate::cli::{Key, Output};
use crate::identity::{self, IdentityError};
use serde_json::json;
use std::process::ExitCode;

pub(super) fn run(context: &Context, command: Key) -> anyhow::Result<ExitCode> {
    let Key::Show(Output { json: as_json }) = command;
    let public = identity::load_key(&context.paths.state)?.public();
    // A key without an enrolment is a state of its own: enrolment was interrupted.
    let node_id = match identity::load_enrolment(&context.paths.state) {
        Ok(enrolment) => Some(enrolment.node_id),
        Err(IdentityError::NotEnrolled(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if as_json {
        print::json(&json!({
            "node_id": node_id,
            "public_key": public,
            "key_id": public.key_id(),
        }))?;
    } else {
        print::out(&format!(
            "node        {}\npublic key  {public}\nkey id      {}\n",
            print::or_dash(node_id),
            public.key_id()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
