//! Group `service`: does the agent start with the machine, and is it this program that starts?

use super::HERE;
use crate::cli::VERSION;
use crate::doctor::examine::{Examination, Reporter};
use crate::doctor::fix::control;
use crate::doctor::subject::{Asked, Service};
use crate::doctor::{Check, CheckId, Subject};
use crate::service::{Level, ServiceState};
use std::sync::Arc;

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::ServiceInstalled,
        CheckId::ServiceEnabled,
        CheckId::ServiceRunning,
        CheckId::ServiceVersion,
    ],
    run: |subject, reporter| Box::pin(check(subject, reporter)),
};

async fn check(subject: Arc<Subject>, reporter: Reporter) {
    let asked = subject.service().await;
    let Service { state, version } = match asked.as_ref() {
        Ok(service) => service,
        Err(why) => return reporter.rest(why.as_str()),
    };
    let Some(unit) = &state.installed else {
        reporter.tell(absent(&subject, state).await);
        return reporter.rest("the service is not installed");
    };
    let about = |id| Check::new(id, unit.display().to_string());
    reporter.tell(about(CheckId::ServiceInstalled).ok(format!("{} has it", state.manager)));
    reporter.tell(enabled(about(CheckId::ServiceEnabled), state));
    reporter.tell(running(about(CheckId::ServiceRunning), state));
    reporter.tell(same(
        about(CheckId::ServiceVersion),
        state,
        version.as_deref(),
    ));
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
    control::service(HERE, level, what)
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

fn same(check: Check, state: &ServiceState, version: Option<&str>) -> Check {
    let program = state.program.as_deref();
    let shown = program.map_or_else(
        || "its program".to_owned(),
        |path| path.display().to_string(),
    );
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
