//! `pause`, `resume`, `drain`: the owner's orders to the running agent. Exit 1 where none runs.

use super::{Context, print, small_runtime};
use crate::cli::{Drain, Output};
use crate::local::{self, Answer, LocalError, Request, Status};
use crate::own_command::own_command;
use crate::owner::OwnerReport;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often a draining agent is asked whether it is done.
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub(super) fn pause(context: &Context, output: Output) -> Result<ExitCode> {
    let report = match order(context, Request::Pause, output.json)? {
        Ok(report) => report,
        Err(code) => return Ok(code),
    };
    tell(
        &report,
        output.json,
        &format!(
            "this node takes no work from the network until `{}`, also after a restart; your own clients are served",
            own_command("resume")
        ),
    )
}

pub(super) fn resume(context: &Context, output: Output) -> Result<ExitCode> {
    let report = match order(context, Request::Resume, output.json)? {
        Ok(report) => report,
        Err(code) => return Ok(code),
    };
    let socket = context.paths.state.socket();
    // The order is in force, whatever comes of this.
    let spool = small_runtime()?.block_on(status(&socket));
    if output.json {
        let mut said = serde_json::to_value(&report)?;
        if let Ok(status) = spool {
            said["not_ready"] = Value::from(status.spool.not_ready);
        }
        print::json(&said)?;
        return Ok(ExitCode::SUCCESS);
    }
    let spool = match spool {
        Ok(status) => status.spool.reason,
        Err(error) => {
            let text = format!(
                "your own orders are lifted; whether the node takes work is not known: {error}"
            );
            return tell(&report, false, &text);
        }
    };
    let still_none = match (report.reasons.is_empty(), spool) {
        (true, None) => None,
        (true, Some(why)) => Some(why),
        (false, None) => Some(report.sentence()),
        (false, Some(why)) => Some(format!("{}; also {why}", report.sentence())),
    };
    let text = match still_none {
        None => "this node takes work from the network".to_owned(),
        Some(why) => {
            format!("your own orders are lifted; the node still takes no work: {why}")
        }
    };
    tell(&report, false, &text)
}

pub(super) fn drain(context: &Context, arguments: Drain) -> Result<ExitCode> {
    let report = match order(context, Request::Drain, arguments.json)? {
        Ok(report) => report,
        Err(code) => return Ok(code),
    };
    let socket = context.paths.state.socket();
    let wait = Duration::from_secs(arguments.wait);
    let status = small_runtime()?.block_on(until_drained(&socket, wait))?;
    let (running, waiting) = (network_requests(&status), status.spool.depth);
    let is_drained = running == 0;
    if arguments.json {
        let mut said = serde_json::to_value(&report)?;
        said["drained"] = Value::from(is_drained);
        said["network_requests"] = Value::from(running);
        said["receipts_waiting"] = Value::from(waiting);
        print::json(&said)?;
    } else {
        let done = if is_drained {
            "nothing of the network runs any more; the agent can be stopped".to_owned()
        } else {
            format!("{running} requests of the network still run")
        };
        let kept = if waiting > 0 {
            format!(
                "\n{waiting} receipts wait for the control plane; they are on disk and survive a stop"
            )
        } else {
            String::new()
        };
        print::out(&format!("{done}{kept}\n"))?;
    }
    Ok(if is_drained {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Gives an order. The inner error is the exit code of a JSON answer that says that no agent runs.
fn order(context: &Context, request: Request, json: bool) -> Result<Result<OwnerReport, ExitCode>> {
    context.quiet_log();
    let socket = context.paths.state.socket();
    match small_runtime()?.block_on(local::ask(&socket, request)) {
        Ok(Answer::Owner(report)) => Ok(Ok(report)),
        Ok(Answer::Refused { message }) => bail!(message),
        Ok(Answer::Done | Answer::KeyRotated(_) | Answer::Status(_) | Answer::Stopping(_)) => {
            Err(LocalError::Answer.into())
        }
        Err(error @ LocalError::NotRunning(_)) if json => {
            print::json(&json!({"running": false, "message": error.to_string()}))?;
            Ok(Err(ExitCode::FAILURE))
        }
        Err(error) => Err(error.into()),
    }
}

fn tell(report: &OwnerReport, json: bool, text: &str) -> Result<ExitCode> {
    if json {
        print::json(report)?;
    } else {
        print::out(&format!("{text}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until nothing of the network runs, at most `wait`; the last status.
async fn until_drained(socket: &Path, wait: Duration) -> Result<Status> {
    let began = Instant::now();
    loop {
        let status = status(socket).await?;
        if network_requests(&status) == 0 || began.elapsed() >= wait {
            return Ok(status);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// How the running agent is.
async fn status(socket: &Path) -> Result<Status> {
    match local::ask(socket, Request::Status).await? {
        Answer::Status(status) => Ok(*status),
        Answer::Refused { message } => bail!(message),
        Answer::Done | Answer::KeyRotated(_) | Answer::Owner(_) | Answer::Stopping(_) => {
            Err(LocalError::Answer.into())
        }
    }
}

fn network_requests(status: &Status) -> u32 {
    status.in_flight.saturating_sub(status.in_flight_local)
}
