//! Group `service`: does the agent start with the machine, and is it this program that starts?

use super::{chain, word};
use crate::cli::VERSION;
use crate::doctor::examine::{Examination, Told};
use crate::doctor::subject::Asked;
use crate::doctor::{Check, CheckId, Subject};
use crate::service::{self, Level, ServiceState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the service manager and the program that it starts may take.
const MANAGER: Duration = Duration::from_millis(2_500);

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::ServiceInstalled,
        CheckId::ServiceEnabled,
        CheckId::ServiceRunning,
        CheckId::ServiceVersion,
    ],
    run: |subject, told| Box::pin(check(subject, told)),
};

async fn check(subject: Arc<Subject>, told: Told) {
    let asking = tokio::task::spawn_blocking(|| {
        let state = service::inspect_any()?;
        let version = state.program_version();
        Ok::<_, service::ServiceError>((state, version))
    });
    let (state, version) = match timeout(MANAGER, asking).await {
        Ok(Ok(Ok(asked))) => asked,
        Ok(Ok(Err(error))) => return told.rest(chain(&error)),
        Ok(Err(_)) => return told.rest("the service manager cannot be asked"),
        Err(_) => return told.rest("the service manager does not answer within 2.5 s"),
    };
    let Some(unit) = &state.installed else {
        told.tell(absent(&subject, &state).await);
        return told.rest("the service is not installed");
    };
    let about = |id| Check::new(id, unit.display().to_string());
    told.tell(about(CheckId::ServiceInstalled).ok(format!("{} has it", state.manager)));
    told.tell(enabled(about(CheckId::ServiceEnabled), &state));
    told.tell(running(about(CheckId::ServiceRunning), &state));
    told.tell(same(about(CheckId::ServiceVersion), &state, version));
}

/// An agent that runs in a terminal or a container serves as well; it only does not come back by itself.
async fn absent(subject: &Subject, state: &ServiceState) -> Check {
    let check = Check::new(CheckId::ServiceInstalled, state.manager);
    let runs = matches!(subject.asked().await.as_ref(), Asked::Runs(_));
    let finding = if runs {
        "the agent runs, but not as a service: after a restart of the machine it does not come back"
    } else {
        "the service is not installed, so the agent does not start with the machine"
    };
    check.warn(finding, steer(Level::System, "install"))
}

/// The command that steers a service of this level.
fn steer(level: Level, what: &str) -> String {
    let sudo = if level == Level::System && cfg!(unix) {
        "sudo "
    } else {
        ""
    };
    format!("{sudo}dgon-agent service {what}{}", level.flag())
}

fn enabled(check: Check, state: &ServiceState) -> Check {
    if state.enabled {
        check.ok("it starts by itself")
    } else {
        check.warn(
            "it does not start with the machine",
            steer(state.level, "install"),
        )
    }
}

fn running(check: Check, state: &ServiceState) -> Check {
    let restarts = match state.restarts {
        Some(times) if times > 0 => format!(", started again {times} times"),
        _ => String::new(),
    };
    if state.running {
        check.ok(format!("{}{restarts}", state.detail))
    } else {
        check.fail(
            format!("it does not run: {}{restarts}", state.detail),
            steer(state.level, "start"),
        )
    }
}

fn same(check: Check, state: &ServiceState, version: Option<String>) -> Check {
    let program = state.program.as_deref();
    let shown = program.map_or_else(|| "its program".to_owned(), word);
    match version {
        Some(version) if version == VERSION => check.ok(format!("{shown} is this version")),
        Some(version) => check.warn(
            format!("the service starts {shown}, which is {version}; this program is {VERSION}"),
            steer(state.level, "install"),
        ),
        None => check.fail(
            format!("{shown} cannot be run, so the service cannot start it"),
            steer(state.level, "install"),
        ),
    }
}
