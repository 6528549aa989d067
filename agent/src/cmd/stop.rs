//! `stop`: has the running agent end as a SIGTERM does, and waits until another one can start. Exit 1 where none runs,
//! where a service manager keeps it running, and where it has not ended in time.
//!
//! The end is the lock of the state directory: it is the last thing that an agent gives back, when its ports and its
//! socket are free.

use super::{Context, print, small_runtime};
use crate::cli::Output;
use crate::config::StateDir;
use crate::local::{self, Answer, LocalError, Request, Status, Stopping};
use crate::service::{self, Level};
use crate::shell::Shell;
use crate::spool::Lock;
use anyhow::{Result, bail};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the service manager may take to say whether it runs the agent.
const MANAGER: Duration = Duration::from_secs(5);
/// How often the lock is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long an agent may have the lock and no socket: one that starts, or one at its very end.
const WITHOUT_SOCKET: Duration = Duration::from_secs(15);

/// Why the agent was not stopped.
#[derive(Debug, thiserror::Error)]
enum StopError {
    /// Its service manager would count that as its own business, and a person would start a second one beside it.
    #[error(
        "the agent (pid {pid}) is run by the service of this {}; stop it with `{command}`",
        match level { Level::System => "machine", Level::User => "user" }
    )]
    Service {
        pid: u32,
        level: Level,
        command: String,
    },
    /// It is there and does not answer.
    #[error(
        "the agent{} does not answer, so it cannot be asked to stop; it may be halted (Ctrl-Z, SIGSTOP) or hang{}",
        pid_text(*pid),
        end_text(*pid)
    )]
    Silent { pid: Option<u32> },
    /// It is of another version.
    #[error(
        "the agent{} is of a version that does not know this command ({message}){}",
        pid_text(*pid),
        pid.map_or(String::new(), |pid| format!("; `{}` asks it to end", Shell::here().end(pid)))
    )]
    OtherVersion { pid: Option<u32>, message: String },
    /// Nobody knows whether it would be started again.
    #[error(
        "{source}, so it is not known whether a service keeps the agent (pid {pid}) running; `{}` asks the agent itself to \
         end, and a service would start it again",
        Shell::here().end(*pid)
    )]
    Manager {
        pid: u32,
        source: service::ServiceError,
    },
    /// The lock is taken and nobody listens.
    #[error(
        "a dgon-agent has the lock of {} and does not listen to commands, for {} s now; it starts or ends, or another \
         command changes the state directory",
        state.display(),
        WITHOUT_SOCKET.as_secs()
    )]
    NoSocket { state: std::path::PathBuf },
    /// It was asked, and its end cannot be seen.
    #[error(
        "the agent was asked to stop; whether it has ended is not known, for the lock of {} cannot be looked at",
        state.display()
    )]
    Unseen {
        state: std::path::PathBuf,
        source: std::io::Error,
    },
    /// It was asked and is still there.
    #[error("the agent (pid {pid}) has not ended within {within_s} s: {now}")]
    Late {
        pid: u32,
        within_s: u64,
        now: String,
    },
}

impl StopError {
    /// The process that a person is told to end by a signal.
    fn pid_to_signal(&self) -> Option<u32> {
        match self {
            Self::Silent { pid } | Self::OtherVersion { pid, .. } => *pid,
            Self::Service { .. }
            | Self::Manager { .. }
            | Self::NoSocket { .. }
            | Self::Unseen { .. }
            | Self::Late { .. } => None,
        }
    }
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (pid {pid})"))
}

/// How a process is ended that does not listen; nothing where it is not known which one it is.
fn end_text(pid: Option<u32>) -> String {
    pid.map_or(String::new(), |pid| {
        format!(
            "; `{}` ends it at once, with every receipt that it has made on disk",
            Shell::here().kill(pid)
        )
    })
}

pub(super) fn run(context: &Context, output: Output) -> Result<ExitCode> {
    context.quiet_log();
    let state = &context.paths.state;
    let runtime = small_runtime()?;
    let began = Instant::now();
    let running = match runtime.block_on(find(state)) {
        Ok(Some(running)) => running,
        Ok(None) => return not_running(state, output.json),
        Err(error) => {
            // Signals are of no use where a service keeps it: that one starts it again, or takes it for failed.
            if let Some(pid) = error.downcast_ref().and_then(StopError::pid_to_signal) {
                not_of_a_service(pid)?;
            }
            return Err(error);
        }
    };
    not_of_a_service(running.pid)?;
    let stopping = runtime.block_on(ask(state, &running))?;
    if !output.json {
        print::out(&begun(&stopping))?;
    }
    runtime.block_on(until_ended(state, &stopping))?;
    if output.json {
        print::json(&json!({
            "stopped": true,
            "pid": stopping.pid,
            "in_flight": stopping.in_flight,
            "receipts_waiting": stopping.receipts_waiting,
            "took_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }))?;
    } else {
        print::out("it has ended; another one can start\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that no service keeps the process running.
///
/// # Errors
/// [`StopError`] where one does, or where its manager does not say whether it does.
fn not_of_a_service(pid: u32) -> Result<(), StopError> {
    let service = service::of_process(pid, MANAGER);
    match service.map_err(|source| StopError::Manager { pid, source })? {
        None => Ok(()),
        Some(level) => Err(StopError::Service {
            pid,
            level,
            command: service::command_to_copy(level, "stop"),
        }),
    }
}

/// The same words and exit code as every command that needs a running agent.
fn not_running(state: &StateDir, as_json: bool) -> Result<ExitCode> {
    let error = LocalError::NotRunning(state.socket());
    if !as_json {
        return Err(error.into());
    }
    print::json(&json!({"running": false, "message": error.to_string()}))?;
    Ok(ExitCode::FAILURE)
}

/// The agent that runs; `None` where none does. One that starts or is about to end has no socket, and is waited for.
async fn find(state: &StateDir) -> Result<Option<Status>> {
    let give_up = Instant::now() + WITHOUT_SOCKET;
    let socket = state.socket();
    loop {
        let error = match local::ask(&socket, Request::Status).await {
            Ok(Answer::Status(status)) => return Ok(Some(*status)),
            Ok(Answer::Refused { message }) => bail!(message),
            Ok(Answer::Done | Answer::KeyRotated(_) | Answer::Owner(_) | Answer::Stopping(_)) => {
                LocalError::Answer
            }
            Err(error) => error,
        };
        match error {
            // A lock that may not be looked at is somebody else's: nothing of ours runs there.
            LocalError::NotRunning(_) | LocalError::HungUp
                if !Lock::is_taken(state.path()).unwrap_or(false) =>
            {
                return Ok(None);
            }
            LocalError::NotRunning(_) | LocalError::HungUp if Instant::now() < give_up => {
                sleep(LOOK_AGAIN).await;
            }
            LocalError::NotRunning(_) | LocalError::HungUp => {
                let state = state.path().to_owned();
                return Err(StopError::NoSocket { state }.into());
            }
            LocalError::Silent { pid, .. } => {
                return Err(StopError::Silent { pid }.into());
            }
            LocalError::Answer => {
                let (pid, message) = (local::listener_pid(&socket).await, error.to_string());
                return Err(StopError::OtherVersion { pid, message }.into());
            }
            LocalError::Io { .. } | LocalError::Unsupported => return Err(error.into()),
        }
    }
}

/// Asks it to stop.
async fn ask(state: &StateDir, running: &Status) -> Result<Stopping> {
    let give_up = Instant::now() + WITHOUT_SOCKET;
    let said = loop {
        let said = local::ask(&state.socket(), Request::Stop).await;
        // Who hangs up may be about to end, or have failed to answer.
        let is_hung_up = matches!(said, Err(LocalError::HungUp));
        if !is_hung_up
            || !Lock::is_taken(state.path()).unwrap_or(false)
            || Instant::now() >= give_up
        {
            break said;
        }
        sleep(LOOK_AGAIN).await;
    };
    match said {
        Ok(Answer::Stopping(stopping)) => Ok(stopping),
        Ok(Answer::Refused { message }) => {
            let pid = Some(running.pid);
            Err(StopError::OtherVersion { pid, message }.into())
        }
        Ok(Answer::Done | Answer::KeyRotated(_) | Answer::Owner(_) | Answer::Status(_)) => {
            Err(LocalError::Answer.into())
        }
        // Somebody else has stopped it meanwhile: it may still hold the lock.
        Err(LocalError::NotRunning(_) | LocalError::HungUp) => Ok(Stopping {
            pid: running.pid,
            in_flight: running.in_flight,
            receipts_waiting: running.spool.depth,
            within_s: WITHOUT_SOCKET.as_secs(),
        }),
        Err(error) => Err(error.into()),
    }
}

fn begun(stopping: &Stopping) -> String {
    let running = match stopping.in_flight {
        0 => "nothing runs".to_owned(),
        1 => format!("1 request runs, and may end within {} s", stopping.within_s),
        many => format!(
            "{many} requests run, and may end within {} s",
            stopping.within_s
        ),
    };
    let waiting = match stopping.receipts_waiting {
        0 => String::new(),
        many => format!("; {many} receipts wait for the control plane, and are on disk"),
    };
    format!(
        "the agent (pid {}) stops: {running}{waiting}\n",
        stopping.pid
    )
}

/// Waits until the lock is free, as long as the agent said that it may take.
async fn until_ended(state: &StateDir, stopping: &Stopping) -> Result<(), StopError> {
    let give_up = Instant::now() + Duration::from_secs(stopping.within_s);
    let is_taken = || {
        Lock::is_taken(state.path()).map_err(|source| StopError::Unseen {
            state: state.path().to_owned(),
            source,
        })
    };
    while is_taken()? {
        if Instant::now() >= give_up {
            return Err(StopError::Late {
                pid: stopping.pid,
                within_s: stopping.within_s,
                now: what_keeps_it(state, stopping.pid).await,
            });
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

async fn what_keeps_it(state: &StateDir, pid: u32) -> String {
    let end = Shell::here().kill(pid);
    let socket = state.socket();
    match local::ask(&socket, Request::Status).await {
        Ok(Answer::Status(status)) if status.pid != pid => format!(
            "it has ended, and another one (pid {}) was started at once; stop what starts it",
            status.pid
        ),
        Ok(Answer::Status(status)) => format!(
            "{} requests are in flight; this command again waits on, `{end}` ends it at once, with every receipt that \
             it has made on disk",
            status.in_flight
        ),
        Ok(_) | Err(_) if local::listener_pid(&socket).await == Some(pid) => format!(
            "it does not say what it does; `{end}` ends it at once, with every receipt that it has made on disk"
        ),
        // A process id that is not known to be the agent's still is nobody's to end.
        Ok(_) | Err(_) => {
            "it takes no commands any more, and it or another command has the lock of the state directory".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_said() {
        let text = |in_flight, receipts_waiting| {
            begun(&Stopping {
                pid: 7,
                in_flight,
                receipts_waiting,
                within_s: 35,
            })
        };
        assert_eq!(text(0, 0), "the agent (pid 7) stops: nothing runs\n");
        assert!(text(1, 0).contains("1 request runs, and may end within 35 s"));
        assert!(text(2, 3).contains("2 requests run"));
        assert!(text(2, 3).contains("3 receipts wait for the control plane"));
    }
}
