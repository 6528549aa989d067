//! `service`: installs the agent as a service of this system and steers it.

use super::print::{self, or_dash};
use super::{Context, UsageError, small_runtime};
use crate::cli::{Service, VERSION};
use crate::config::StateDir;
use crate::local::{self, Answer, Request};
use crate::service::{self, Level, Places, Report, ServiceState};
use anyhow::{Context as _, Result};
use serde_json::json;
use std::process::ExitCode;

pub(super) fn run(context: &Context, command: &Service) -> Result<ExitCode> {
    context.quiet_log();
    let target = command.target();
    let level = if target.user {
        Level::User
    } else {
        Level::System
    };
    let program = std::env::current_exe().context("this program's own path is not known")?;
    let places = service::places(level, &context.paths, program);
    match command {
        Service::Install(_) => {
            check_places(context, level, &places)?;
            let report = service::install(level, &places)?;
            tell(level, &report, target.json)
        }
        Service::Uninstall { purge, .. } => {
            let report = service::uninstall(level, &places, *purge)?;
            tell(level, &report, target.json)
        }
        Service::Start(_) => steer(level, target.json, "started, and ready", service::start),
        Service::Stop(_) => steer(level, target.json, "stopped", service::stop),
        Service::Restart(_) => steer(
            level,
            target.json,
            "started anew, and ready",
            service::restart,
        ),
        Service::Status(_) => status(level, &places, target.json),
    }
}

/// A system service has fixed places: its unit lets it write nowhere else.
fn check_places(context: &Context, level: Level, places: &Places) -> Result<()> {
    let flags = context.place_flags();
    let same = context.paths.state.path() == places.state_dir
        && context.paths.config_file == places.config_file;
    if level == Level::System && crate::files::is_superuser() && !flags.is_empty() && !same {
        return Err(UsageError(format!(
            "a system service keeps its files in {} and {}; enrol this machine without {}, or use --user",
            places.state_dir.display(),
            places.config_file.display(),
            flags.trim(),
        ))
        .into());
    }
    Ok(())
}

fn steer(
    level: Level,
    as_json: bool,
    done: &str,
    act: impl FnOnce(Level) -> Result<(), service::ServiceError>,
) -> Result<ExitCode> {
    act(level)?;
    let state = service::inspect(level)?;
    let mut report = Report::default();
    if state.running || done == "stopped" {
        report.done.push(format!("the service is {done}"));
    } else {
        report.notes.push(format!(
            "the service is {}; it runs once this machine is enrolled: `{}`",
            state.detail,
            service::enrol_command(level)
        ));
    }
    tell(level, &report, as_json)
}

fn tell(level: Level, report: &Report, as_json: bool) -> Result<ExitCode> {
    if as_json {
        let state = service::inspect(level)?;
        print::json(&json!({"done": report.done, "notes": report.notes, "service": state}))?;
    } else {
        let mut text = String::new();
        for done in &report.done {
            text.push_str(&format!("{done}\n"));
        }
        for note in &report.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        print::out(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit 0 where the service runs, 1 where it does not.
fn status(level: Level, places: &Places, as_json: bool) -> Result<ExitCode> {
    let state = service::inspect(level)?;
    let running_version = if state.running {
        ask_version(places)
    } else {
        None
    };
    let program_version = state.program_version();
    let known = running_version.as_ref().or(program_version.as_ref());
    let same_version = known.map(|version| version == VERSION);
    if as_json {
        print::json(&json!({
            "service": state,
            "running_version": running_version,
            "program_version": program_version,
            "this_version": VERSION,
            "same_version": same_version,
        }))?;
    } else {
        let versions = Versions {
            running: running_version,
            program: program_version,
        };
        print::out(&text(&state, &versions, level))?;
    }
    Ok(if state.running {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Version of the agent that answers on the service's own socket; only its user and root may ask.
fn ask_version(places: &Places) -> Option<String> {
    let socket = StateDir::new(&places.state_dir).socket();
    let asked = small_runtime()
        .ok()?
        .block_on(local::ask(&socket, Request::Status));
    match asked {
        Ok(Answer::Status(status)) => Some(status.version),
        _ => None,
    }
}

struct Versions {
    running: Option<String>,
    program: Option<String>,
}

fn text(state: &ServiceState, versions: &Versions, level: Level) -> String {
    let Some(file) = &state.installed else {
        let flag = level.flag();
        return format!(
            "installed  no; `dgon-agent service install{flag}` installs it\nmanager    {}\n",
            state.manager
        );
    };
    let yes = |is: bool| if is { "yes" } else { "no" };
    let mut lines = vec![
        ("installed", file.display().to_string()),
        ("manager", state.manager.to_owned()),
        ("enabled", yes(state.enabled).to_owned()),
        (
            "running",
            match state.pid {
                Some(pid) => format!("{}, pid {pid}, {}", yes(state.running), state.detail),
                None => format!("{}, {}", yes(state.running), state.detail),
            },
        ),
        (
            "program",
            or_dash(state.program.as_ref().map(|path| path.display())),
        ),
        ("restarts", or_dash(state.restarts)),
        (
            "version",
            or_dash(versions.running.as_ref().or(versions.program.as_ref())),
        ),
    ];
    let is_old = |version: &Option<String>| version.as_deref().is_some_and(|v| v != VERSION);
    if is_old(&versions.running) && !is_old(&versions.program) {
        lines.push((
            "",
            format!("the program is newer ({VERSION}); restart the service to use it"),
        ));
    } else if is_old(&versions.running) || is_old(&versions.program) {
        lines.push((
            "",
            format!(
                "this program is another version ({VERSION}); `service install` puts it in place"
            ),
        ));
    }
    lines
        .into_iter()
        .map(|(name, value)| format!("{name:10} {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ServiceState {
        ServiceState {
            manager: "systemd",
            level: Level::System,
            installed: Some("/etc/systemd/system/dgon-agent.service".into()),
            packaged: false,
            enabled: true,
            running: true,
            pid: Some(7),
            detail: "active (running)".to_owned(),
            program: Some("/usr/local/bin/dgon-agent".into()),
            restarts: Some(0),
        }
    }

    #[test]
    fn an_older_running_agent_is_told_apart_from_an_older_program() {
        let older = Some("0.0.9".to_owned());
        let versions = Versions {
            running: older.clone(),
            program: Some(VERSION.to_owned()),
        };
        let restart = text(&state(), &versions, Level::System);
        assert!(restart.contains("restart the service"), "{restart}");
        let versions = Versions {
            running: older.clone(),
            program: older,
        };
        let install = text(&state(), &versions, Level::System);
        assert!(install.contains("`service install` puts it"), "{install}");
        let versions = Versions {
            running: Some(VERSION.to_owned()),
            program: Some(VERSION.to_owned()),
        };
        let same = text(&state(), &versions, Level::System);
        assert!(same.ends_with(&format!("version    {VERSION}\n")), "{same}");
    }
}
