//! Group `agent`: does it run, is it the same version, does its link stand, can its proxy listen?

use super::{HERE, settings};
use crate::cli::VERSION;
use crate::doctor::examine::{Examination, Reporter};
use crate::doctor::subject::Asked;
use crate::doctor::{Check, CheckId, Subject};
use crate::link::Phase;
use crate::local::Status;
use std::sync::Arc;
use tokio::net::TcpListener;

pub(super) const EXAMINATION: Examination = Examination {
    makes: &[
        CheckId::AgentRunning,
        CheckId::AgentVersion,
        CheckId::AgentSettings,
        CheckId::AgentLink,
        CheckId::AgentServing,
        CheckId::AgentListen,
    ],
    run: |subject, reporter| Box::pin(check(subject, reporter)),
};

async fn check(subject: Arc<Subject>, reporter: Reporter) {
    let socket = subject.paths.state.socket();
    let running = Check::new(CheckId::AgentRunning, socket.display().to_string());
    match subject.asked().await.as_ref() {
        Asked::Runs(status) => {
            reporter.tell(running.ok(format!("the agent runs, pid {}", status.pid)));
            reporter.tell(version(&subject, status).await);
            reporter.tell(settings::check(&subject, status).await);
            reporter.tell(link(&subject, status).await);
            reporter.tell(serving(&subject, status));
            reporter.rest("the agent runs and has the address");
        }
        Asked::Absent => {
            reporter.tell(running.warn("the agent does not run", subject.start_command().await));
            reporter.tell(listen(&subject).await);
            reporter.rest("the agent does not run");
        }
        Asked::Unsupported => reporter.rest("the agent cannot be asked on this system"),
        Asked::Closed(why) => {
            reporter.tell(running.fail(why, HERE.as_owner(&socket, &subject.command("doctor"))));
            reporter.rest("the agent cannot be asked");
        }
        Asked::OtherVersion => {
            reporter.tell(running.warn(
                "the agent that runs is of another version and cannot be asked; restart it",
                subject.update_command(None).await,
            ));
            reporter.rest("the agent that runs is of another version");
        }
        Asked::Silent { pid } => {
            let pid_text = pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
            reporter.tell(running.fail(
                format!(
                    "the agent's socket is there, but the agent{pid_text} does not answer within 1.8 s; it may be \
                     halted (Ctrl-Z, SIGSTOP) or hang"
                ),
                subject.replace_frozen_command(*pid).await,
            ));
            reporter.rest("the agent does not answer");
        }
    }
}

async fn version(subject: &Subject, status: &Status) -> Check {
    let check = Check::new(CheckId::AgentVersion, "the running agent and this program");
    if status.version == VERSION {
        check.ok(VERSION)
    } else {
        check.warn(
            format!(
                "the agent that runs is {}, this program is {VERSION}",
                status.version
            ),
            subject.update_command(Some(status.pid)).await,
        )
    }
}

async fn link(subject: &Subject, status: &Status) -> Check {
    let check = Check::new(CheckId::AgentLink, "the WebSocket to the control plane");
    let error = status.link.last_error.as_ref();
    let why = error.map_or(String::new(), |error| format!(": {error}"));
    match status.link.phase {
        Phase::Connected => check.ok("the link stands"),
        Phase::Off => check.skip("no control plane is named"),
        Phase::Connecting => check.warn(
            format!("the link is being made{why}"),
            subject.command("status"),
        ),
        Phase::Waiting => check.fail(
            format!("the link does not stand{why}; receipts wait in the spool"),
            subject.command("status"),
        ),
        Phase::Replaced => check.fail(
            format!(
                "two machines use one identity, as where a state directory was copied{why}; the fix is for the machine \
                 that has the copy, and makes it a node of its own"
            ),
            subject.own_node_command(status.pid).await,
        ),
        Phase::Stopped => check.warn("the agent is stopping", subject.start_command().await),
    }
}

fn serving(subject: &Subject, status: &Status) -> Check {
    let check = Check::new(CheckId::AgentServing, status.proxy.clone());
    match &status.spool.reason {
        None => check.ok("the proxy takes requests"),
        Some(reason) => check.fail(
            format!("the proxy refuses requests: {reason}"),
            subject.command("status"),
        ),
    }
}

/// Only while no agent runs: then the proxy's address must be free.
async fn listen(subject: &Subject) -> Check {
    let check = Check::new(CheckId::AgentListen, "proxy.listen");
    let Some(config) = subject.values() else {
        return check.skip("the configuration cannot be read");
    };
    let address = config.proxy.listen;
    match TcpListener::bind(address).await {
        Ok(_) => check.ok(format!("{address} is free")),
        Err(error) => check.fail(
            format!("the proxy cannot listen on {address}: {error}"),
            HERE.who_listens(address.port()),
        ),
    }
}
