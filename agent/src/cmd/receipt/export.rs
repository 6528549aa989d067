//! `receipt export`: an evidence bundle of this node.

use super::super::{Context, UsageError, print};
use super::{local, since};
use crate::cli::Export;
use crate::evidence;
use crate::files;
use crate::identity::Identity;
use crate::own_command::own_command;
use anyhow::{Context as _, Result};
use std::io::Write as _;
use std::process::ExitCode;

pub(super) fn run(context: &Context, arguments: &Export) -> Result<ExitCode> {
    let since_s = match &arguments.since {
        None => 0,
        Some(text) => since::parse(text, since::now_s()).map_err(UsageError)?,
    };
    let identity = Identity::load(&context.paths.state)?;
    let chains = local::chains(context)?;
    let acked = local::acked_seqs(context, &chains)?;
    let bundle = evidence::make(
        identity.node_id(),
        &identity.key,
        &chains,
        &acked,
        since_s,
        since::now_s(),
    )?;
    // What is handed out has been through the same check that its reader will make.
    let proof = evidence::verify::verify(&bundle, None).with_context(|| {
        format!(
            "the spool holds receipts that do not prove themselves; `{}` looks closer",
            own_command("doctor")
        )
    })?;
    let Some(path) = arguments
        .output
        .as_ref()
        .filter(|path| path.as_os_str() != "-")
    else {
        std::io::stdout().write_all(&bundle)?;
        return Ok(ExitCode::SUCCESS);
    };
    files::write_public(path, &bundle)
        .with_context(|| format!("the bundle cannot be written to {}", path.display()))?;
    print::out(&format!(
        "{}: {} receipts of node {} under {} key(s)\nAnybody checks it with: dgon-agent receipt verify {} \
         --public-key {}\n",
        path.display(),
        proof.receipts,
        proof.node_id,
        proof.key_ids.len(),
        path.display(),
        proof.public_key,
    ))?;
    Ok(ExitCode::SUCCESS)
}
