//! Group `agent`: does it run, is it the same version, does its link stand, can its proxy listen?

use super::chain;
use crate::cli::VERSION;
use crate::doctor::{Check, Patient};
use crate::link::Phase;
use crate::local::{self, Answer, LocalError, Request, Status};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

const GROUP: &str = "agent";
const ANSWER: Duration = Duration::from_secs(2);

pub(in crate::doctor) async fn check(patient: Arc<Patient>) -> Vec<Check> {
    let socket = patient.paths.state.socket();
    let running = Check::new(GROUP, "running", &socket.display().to_string());
    let asked = timeout(ANSWER, local::ask(&socket, Request::Status)).await;
    match asked {
        Ok(Ok(Answer::Status(status))) => vec![
            running.ok(&format!("the agent runs, pid {}", status.pid)),
            version(&patient, &status),
            link(&patient, &status),
            serving(&patient, &status),
        ],
        Ok(Err(LocalError::NotRunning(_))) => vec![
            running.warn("the agent does not run", patient.command("run")),
            listen(&patient).await,
        ],
        Ok(Err(LocalError::Unsupported)) => vec![running.skip("cannot be asked on this system")],
        Ok(Err(error)) => vec![running.fail(&chain(&error), None)],
        Ok(Ok(
            Answer::Done | Answer::KeyRotated(_) | Answer::Owner(_) | Answer::Refused { .. },
        )) => vec![running.warn(
            "the running agent is of another version and cannot be asked; restart it",
            patient.command("run"),
        )],
        Err(_) => vec![running.fail(
            "the agent's socket is there, but it does not answer within 2 s",
            Some("kill -TERM $(pgrep -x dgon-agent)".to_owned()),
        )],
    }
}

fn version(patient: &Patient, status: &Status) -> Check {
    let check = Check::new(GROUP, "version", "the running agent and this program");
    if status.version == VERSION {
        check.ok(VERSION)
    } else {
        check.warn(
            &format!(
                "the agent that runs is {}, this program is {VERSION}",
                status.version
            ),
            restart(patient, status),
        )
    }
}

fn restart(patient: &Patient, status: &Status) -> Option<String> {
    let run = patient.command("run")?;
    Some(format!("kill -TERM {} && {run}", status.pid))
}

fn link(patient: &Patient, status: &Status) -> Check {
    let check = Check::new(GROUP, "link", "the WebSocket to the control plane");
    let why = status
        .link
        .last_error
        .as_ref()
        .map_or(String::new(), |error| format!(": {error}"));
    match status.link.phase {
        Phase::Connected => check.ok("the link stands"),
        Phase::Off => check.skip("no control plane is named"),
        Phase::Connecting => check.warn(&format!("the link is being made{why}"), None),
        Phase::Waiting => check.fail(
            &format!("the link does not stand{why}; receipts wait in the spool"),
            patient.command("status"),
        ),
        Phase::Replaced => check.fail(
            "another agent of this node took the link over; two machines use one identity",
            restart(patient, status),
        ),
        Phase::Stopped => check.warn("the agent is stopping", patient.command("run")),
    }
}

fn serving(patient: &Patient, status: &Status) -> Check {
    let check = Check::new(GROUP, "serving", &status.proxy);
    match &status.spool.reason {
        None => check.ok("the proxy takes requests"),
        Some(reason) => check.fail(
            &format!("the proxy refuses requests: {reason}"),
            patient.command("status"),
        ),
    }
}

/// Only while no agent runs: then the proxy's address must be free.
async fn listen(patient: &Patient) -> Check {
    let name = "proxy.listen";
    let Ok(loaded) = &patient.config else {
        return Check::new(GROUP, "listen", name).skip("the configuration cannot be read");
    };
    let address: SocketAddr = loaded.config.proxy.listen;
    let check = Check::new(GROUP, "listen", &address.to_string());
    match TcpListener::bind(address).await {
        Ok(_) => check.ok("the proxy's address is free"),
        Err(error) => check.fail(
            &format!("the proxy cannot listen on {address}: {error}"),
            Some(format!("ss -ltnp 'sport = :{}'", address.port())),
        ),
    }
}
