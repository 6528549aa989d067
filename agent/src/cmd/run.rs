//! `run`: reads the configuration, starts the log, hands over to [`crate::run`].

use super::Context;
use crate::cli::Run;
use anyhow::Result;
use std::process::ExitCode;

pub(super) fn run(context: &Context, arguments: &Run) -> Result<ExitCode> {
    let mut flags = Vec::new();
    if let Some(api) = &arguments.api {
        flags.push(("control_plane.api", api.to_string()));
    }
    if let Some(listen) = &arguments.listen {
        flags.push(("proxy.listen", listen.to_string()));
    }
    let loaded = context.load_config(flags)?;
    crate::log::init(&loaded.config.log)?;
    crate::run::run(&loaded.config, &context.paths.state)?;
    Ok(ExitCode::SUCCESS)
}
