//! `enroll`: asks for what is missing, enrols, writes agent.yaml, says what comes next.

use super::context::environment;
use super::{Context, UsageError, print, prompt};
use crate::cli::Enroll;
use crate::config::{self, BaseUrl, Config, Seed};
use crate::enrol::{self, Wish};
use crate::files;
use crate::identity::{self, Enrolment, IdentityError};
use crate::net::Network;
use crate::own_command::own_command;
use crate::service;
use crate::spool::Lock;
use anyhow::{Context as _, Result, bail};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::PublicKey;
use serde_json::json;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Variables that may hold the token; the second is the name that older agents use.
const TOKEN_VARIABLES: [&str; 2] = ["DGON_ENROL_TOKEN", "NODE_TOKEN"];
/// Longest token, bytes.
const TOKEN_BYTES: u64 = 4096;

pub(super) fn run(context: &Context, arguments: &Enroll) -> Result<ExitCode> {
    context.quiet_log();
    let config = context.load_config_to_write(overrides(arguments))?.config;
    let Some(api) = config.control_plane.api.clone() else {
        return Err(UsageError(
            "no control plane is named; give its address with --api URL or DGON_API".to_owned(),
        )
        .into());
    };
    config::plain_http::check(&config, &api)?;
    let enrolled_before = match identity::load_enrolment(&context.paths.state) {
        Ok(enrolment) => Some(enrolment),
        Err(IdentityError::NotEnrolled(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(enrolment) = &enrolled_before
        && !arguments.force
    {
        return already(context, arguments, &config, &api, enrolment);
    }
    // An agent that runs would go on with the old secret.
    let _alone = match &enrolled_before {
        Some(enrolment) => Some(may_enrol_again(context, &config, &api, enrolment)?),
        None => None,
    };
    let wish = Wish {
        read_gpus: config.telemetry.read_gpus,
        api: api.clone(),
        network: Network::from_environment(config.control_plane.ca_file.as_deref()),
        token: token(arguments)?,
        node_id: config.node.id.clone(),
        region: config.node.region.clone(),
    };
    crate::log::hide(&wish.token);
    let runtime = super::small_runtime()?;
    let enrolled = runtime.block_on(enrol::enrol(&context.paths.state, &wish));
    // A driver that hangs in a survey must not keep the command from ending.
    runtime.shutdown_background();
    let enrolled = enrolled?;
    let wrote = write_config(context, &config, &api, &enrolled.enrolment)?;
    tell(
        context,
        arguments.json,
        &enrolled.enrolment,
        enrolled.public_key,
        &Outcome {
            is_new: enrolled_before.is_none(),
            is_again: enrolled_before.is_some(),
            wrote,
            listen: config.proxy.listen.to_string(),
        },
    )
}

/// What to tell besides the identity.
struct Outcome {
    is_new: bool,
    is_again: bool,
    wrote: bool,
    listen: String,
}

fn overrides(arguments: &Enroll) -> config::Overrides {
    let mut flags = Vec::new();
    if let Some(api) = &arguments.api {
        flags.push(("control_plane.api", api.to_string()));
    }
    if arguments.insecure_http {
        flags.push(("control_plane.insecure_http", "true".to_owned()));
    }
    if let Some(id) = &arguments.node_id {
        flags.push(("node.id", id.to_string()));
    }
    if let Some(region) = &arguments.region {
        flags.push(("node.region", region.clone()));
    }
    flags
}

/// A machine that is enrolled stays what it is; wishes that contradict it are errors.
fn already(
    context: &Context,
    arguments: &Enroll,
    config: &Config,
    api: &BaseUrl,
    enrolment: &Enrolment,
) -> Result<ExitCode> {
    if let Some(wanted) = &config.node.id
        && *wanted != enrolment.node_id
    {
        bail!(other_name(context, &enrolment.node_id, wanted));
    }
    let public_key = identity::load_key(&context.paths.state)?.public();
    // An earlier run may have been cut off between the secret and the file.
    let wrote = write_config(context, config, api, enrolment)?;
    // A token on the command line is meant to be used; one in the environment may always be there.
    let brings_token = arguments.token.is_some() || arguments.token_file.is_some();
    if brings_token && !wrote {
        bail!(
            "this machine is enrolled already, as {}; nothing was changed and the token was not used. To give the \
             same node a new secret, stop the agent (`{}`) and add --force; to make another node, use an empty state \
             directory (--state-dir)",
            enrolment.node_id,
            own_command("stop")
        );
    }
    tell(
        context,
        arguments.json,
        enrolment,
        public_key,
        &Outcome {
            is_new: false,
            is_again: false,
            wrote,
            listen: config.proxy.listen.to_string(),
        },
    )
}

/// Whether an enrolled machine may be enrolled again; the lock of its state directory.
fn may_enrol_again(
    context: &Context,
    config: &Config,
    api: &BaseUrl,
    enrolment: &Enrolment,
) -> Result<Lock> {
    if let Some(wanted) = &config.node.id
        && *wanted != enrolment.node_id
    {
        bail!(other_name(context, &enrolment.node_id, wanted));
    }
    // The address in agent.yaml is the one that enrolment went through.
    let written = context.load_config(Vec::new())?.config.control_plane.api;
    if let Some(written) = written
        && written.to_string() != api.to_string()
    {
        bail!(
            "this machine is enrolled at {written}, and its key and chain belong there; for {api} use a state \
             directory of its own (--state-dir)"
        );
    }
    Ok(Lock::take(context.paths.state.path())?)
}

fn other_name(context: &Context, enrolled: &NodeId, wanted: &NodeId) -> String {
    format!(
        "this machine is enrolled as {enrolled}, not as {wanted}; to start anew, stop the agent (`{}`) and move {} away",
        own_command("stop"),
        context.paths.state.path().display()
    )
}

/// Writes agent.yaml unless there is one; whether it did.
fn write_config(
    context: &Context,
    config: &Config,
    api: &BaseUrl,
    enrolment: &Enrolment,
) -> Result<bool> {
    let path = &context.paths.config_file;
    if path.exists() {
        return Ok(false);
    }
    let seed = Seed {
        api,
        insecure_http: config.control_plane.insecure_http,
        node_id: enrolment.node_id.as_str(),
        region: &enrolment.region,
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)
        .and_then(|()| files::write_public(path, config::render(&seed).as_bytes()))
        .with_context(|| {
            format!(
                "the machine is enrolled, but {} cannot be written; run the command again as a user who may",
                path.display()
            )
        })?;
    Ok(true)
}

/// What starts the agent: the machine's service where one is installed and this was for it, else the program.
fn next_step(context: &Context) -> String {
    let flags = context.place_flags();
    let is_for_service = flags.is_empty()
        && files::is_superuser()
        && service::inspect(service::Level::System).is_ok_and(|state| state.installed.is_some());
    if is_for_service {
        "dgon-agent service restart".to_owned()
    } else {
        own_command("run")
    }
}

fn tell(
    context: &Context,
    as_json: bool,
    enrolment: &Enrolment,
    public_key: PublicKey,
    outcome: &Outcome,
) -> Result<ExitCode> {
    let config_file = context.paths.config_file.display().to_string();
    let next = next_step(context);
    if as_json {
        print::json(&json!({
            "node_id": enrolment.node_id,
            "region": enrolment.region,
            "public_key": public_key,
            "key_id": public_key.key_id(),
            "already_enrolled": !outcome.is_new,
            "config_file": config_file,
            "config_written": outcome.wrote,
            "next": next,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = if outcome.is_new {
        "enrolled as"
    } else if outcome.is_again {
        "enrolled again as"
    } else {
        "this machine is enrolled already, as"
    };
    let file = if outcome.wrote {
        "written"
    } else {
        "kept as it was"
    };
    print::out(&format!(
        "{head} {}\n  region      {}\n  public key  {public_key}\n  key file    {}\n  settings    {config_file} ({file})\n\n\
         Next: {next}\nThen send your clients to http://{} instead of the runtime.\n",
        enrolment.node_id,
        print::safe(&enrolment.region),
        context.paths.state.key_file().display(),
        outcome.listen,
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn token(arguments: &Enroll) -> Result<Zeroizing<String>> {
    let token = if let Some(token) = &arguments.token {
        Zeroizing::new(token.trim().to_owned())
    } else if let Some(file) = &arguments.token_file {
        token_of_file(file)?
    } else if let Some(token) = TOKEN_VARIABLES.into_iter().find_map(environment) {
        Zeroizing::new(token.trim().to_owned())
    } else if prompt::is_interactive() {
        prompt::secret("Enrolment token: ").context("cannot read the token from the terminal")?
    } else {
        Zeroizing::new(String::new())
    };
    if token.is_empty() {
        return Err(UsageError(
            "no enrolment token; give it in DGON_ENROL_TOKEN or with --token-file FILE (- reads standard input)"
                .to_owned(),
        )
        .into());
    }
    Ok(token)
}

fn token_of_file(file: &Path) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = if file.as_os_str() == "-" {
        io::stdin()
            .lock()
            .take(TOKEN_BYTES)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(TOKEN_BYTES).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read the token from {}", file.display()))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
