//! `run`: reads the configuration, starts the log, hands over to [`crate::run`].

use super::Context;
use crate::cli::Run;
use crate::service::hosted;
use anyhow::Result;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

pub(super) fn run(context: &Context, arguments: &Run) -> Result<ExitCode> {
    let mut flags = Vec::new();
    if let Some(api) = &arguments.api {
        flags.push(("control_plane.api", api.to_string()));
    }
    if arguments.insecure_http {
        flags.push(("control_plane.insecure_http", "true".to_owned()));
    }
    if let Some(listen) = &arguments.listen {
        flags.push(("proxy.listen", listen.to_string()));
    }
    let loaded = context.load_config(flags)?;
    let mut config = loaded.config;
    let state = context.paths.state.clone();
    if arguments.hosted && config.log.file.is_none() {
        // Nobody reads the standard error stream of such a service.
        config.log.file = std::path::absolute(state.path().join("agent.log")).ok();
    }
    crate::log::init(&config.log)?;
    let stop = CancellationToken::new();
    if arguments.hosted {
        let token = stop.clone();
        hosted::run(
            stop,
            Box::new(move || crate::run::run(&config, &state, token)),
        )?;
    } else {
        crate::run::run(&config, &state, stop)?;
    }
    Ok(ExitCode::SUCCESS)
}
