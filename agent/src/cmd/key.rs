//! `key show` and `key rotate`.

use super::{Context, print};
use crate::api::Api;
use crate::cli::{Key, Output};
use crate::identity::{self, Identity, IdentityError, control_plane};
use crate::local::{self, Answer, LocalError, Request};
use crate::net::Network;
use crate::own_command::own_command;
use crate::rotation::change::{self, Changed};
use crate::rotation::{Record, files, tail};
use crate::spool::Lock;
use crate::spool::view::View;
use anyhow::{Context as _, Result, bail};
use dgon_protocol::key::PublicKey;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) fn run(context: &Context, command: Key) -> Result<ExitCode> {
    match command {
        Key::Show(output) => show(context, output),
        Key::Rotate(output) => rotate(context, output),
    }
}

fn show(context: &Context, Output { json: as_json }: Output) -> Result<ExitCode> {
    let state = &context.paths.state;
    let public = identity::load_key(state)?.public();
    // A key without an enrolment is a state of its own: enrolment was interrupted.
    let node_id = match identity::load_enrolment(state) {
        Ok(enrolment) => Some(enrolment.node_id),
        Err(IdentityError::NotEnrolled(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let next = files::next_key(state)?.map(|key| key.public());
    let line = files::history(state, &public)?;
    if as_json {
        let former = line.iter().map(|record| former(context, record));
        print::json(&json!({
            "node_id": node_id,
            "public_key": public,
            "key_id": public.key_id(),
            "next_key_id": next.map(|key| key.key_id()),
            "former": former.collect::<Result<Vec<Value>>>()?,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "node        {}\npublic key  {public}\nkey id      {}\n",
        print::or_dash(node_id),
        public.key_id()
    );
    if let Some(next) = next {
        text.push_str(&format!(
            "next key    {} (the change is not done; a running agent goes on with it, else `{}`)\n",
            next.key_id(),
            own_command("key rotate")
        ));
    }
    for record in &line {
        text.push_str(&format!("former key  {}\n", former_line(context, record)?));
    }
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Receipts of a former key that the control plane is not known to have.
fn waiting(context: &Context, record: &Record) -> Result<u64> {
    let dir = context.paths.state.retired_dir(&record.old_id());
    tail::waiting(&View::of(&dir)).context("the spool of a former key cannot be read")
}

fn former(context: &Context, record: &Record) -> Result<Value> {
    Ok(json!({
        "key_id": record.old_id(),
        "public_key": record.rotation.old_key,
        "valid_to_ms": record.valid_from_ms,
        "last_seq": record.closing.as_ref().map(|closing| closing.last_seq),
        "closing_told": record.closing_told,
        "waiting_receipts": waiting(context, record)?,
    }))
}

fn former_line(context: &Context, record: &Record) -> Result<String> {
    let end = record.closing.as_ref().map_or_else(
        || "the end of its chain is lost".to_owned(),
        |closing| format!("its chain ends at {}", closing.last_seq),
    );
    let home = match waiting(context, record)? {
        0 => "the control plane has all of it".to_owned(),
        one => format!("{one} receipts wait for the control plane"),
    };
    Ok(format!("{} ({end}; {home})", record.rotation.old_key))
}

fn rotate(context: &Context, Output { json: as_json }: Output) -> Result<ExitCode> {
    context.quiet_log();
    let runtime = super::small_runtime()?;
    let changed = match runtime.block_on(local::ask(
        &context.paths.state.socket(),
        Request::RotateKey,
    )) {
        Ok(Answer::KeyRotated(done)) => Changed {
            old: done.old_key,
            new: done.new_key,
            valid_from_ms: done.valid_from_ms,
        },
        Ok(Answer::Refused { message }) => bail!("{message}"),
        Ok(Answer::Status(_) | Answer::Done | Answer::Owner(_) | Answer::Stopping(_)) => {
            return Err(LocalError::Answer.into());
        }
        Err(LocalError::NotRunning(_) | LocalError::Unsupported) => {
            runtime.block_on(without_agent(context))?
        }
        Err(error) => return Err(error.into()),
    };
    tell(as_json, &changed.old, &changed.new, changed.valid_from_ms)
}

/// No agent runs: this command holds the state directory and does it all.
async fn without_agent(context: &Context) -> Result<Changed> {
    let state = &context.paths.state;
    let config = context.load_config(Vec::new())?.config;
    Identity::load(state)?;
    let lock = Lock::take(state.path())?;
    files::settle(state)?;
    let identity = Identity::load(state)?;
    let base = control_plane(&config, Some(&identity.enrolment))
        .context("no control plane is known; name it in agent.yaml, control_plane.api")?;
    let network = Network::from_environment(config.control_plane.ca_file.as_deref());
    let api = Api::new(base, network);
    let now_s = crate::clock::unix_s();
    Ok(change::change(&api, state, &identity, now_s, &lock).await?)
}

fn tell(as_json: bool, old: &PublicKey, new: &PublicKey, since_ms: i64) -> Result<ExitCode> {
    if as_json {
        print::json(&json!({
            "old_key": old,
            "old_key_id": old.key_id(),
            "public_key": new,
            "key_id": new.key_id(),
            "valid_from_ms": since_ms,
        }))?;
    } else {
        print::out(&format!(
            "the key was changed\n  old  {old} (id {})\n  new  {new} (id {})\n\
             Receipts of the old key stay good; a new chain begins. Back the state directory up again.\n",
            old.key_id(),
            new.key_id()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
