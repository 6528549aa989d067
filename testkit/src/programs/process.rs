//! A child process with a log file that is killed when its handle goes.

use super::{PATIENCE, ProgramError, io};
use crate::kept;
use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of a log that an error shows.
const LOG_SHOWN: usize = 6000;

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A port of the loopback interface that nobody listens on now.
///
/// # Errors
/// The machine has none left.
pub fn free_port() -> Result<u16, ProgramError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io("no free port"))?;
    Ok(listener.local_addr().map_err(io("no free port"))?.port())
}

impl Process {
    /// Starts a program; what it writes is appended to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self, ProgramError> {
        let open = || {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(log)
        };
        let file = open().map_err(io(format!("the log {} cannot be written", log.display())))?;
        let twin = file.try_clone().map_err(io("the log cannot be shared"))?;
        kept::ask_for_all(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(twin)
            .spawn()
            .map_err(io(format!(
                "{name} cannot be started as {:?}",
                command.get_program()
            )))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it wrote.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let start = text.len().saturating_sub(LOG_SHOWN);
        String::from_utf8_lossy(&text[start..]).into_owned()
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// The program ended, or it took too long.
    pub async fn until<F: Future<Output = bool>>(
        &mut self,
        what: &str,
        mut ready: impl FnMut() -> F,
    ) -> Result<(), ProgramError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ProgramError::Ended {
                    program: self.name.clone(),
                    status: status.to_string(),
                    log: self.log_tail(),
                });
            }
            if ready().await {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(ProgramError::Late {
                    program: self.name.clone(),
                    what: what.to_owned(),
                    log: self.log_tail(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself: then there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends any other signal, such as `STOP`, `CONT` or `TERM`.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, name: &str) -> Result<(), ProgramError> {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.id().to_string())
            .status();
        let status = status.map_err(io("the program kill cannot be started"))?;
        if status.success() {
            return Ok(());
        }
        Err(ProgramError::Ended {
            program: self.name.clone(),
            status: "gone".to_owned(),
            log: self.log_tail(),
        })
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// It took too long.
    pub async fn ended(&mut self) -> Result<std::process::ExitStatus, ProgramError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(ProgramError::Late {
                    program: self.name.clone(),
                    what: "ended".to_owned(),
                    log: self.log_tail(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        kept::log_of(&self.name, self.id(), &self.log);
    }
}

/// SIGKILL to several programs with one call, as when a machine loses its power.
pub fn kill_together(processes: &mut [&mut Process]) {
    let ids: Vec<String> = processes
        .iter()
        .map(|process| process.id().to_string())
        .collect();
    // A failure means that one ended by itself; the loop below takes care of every one of them.
    let _ = Command::new("kill").arg("-KILL").args(ids).status();
    for process in processes {
        process.kill();
    }
}

/// Runs a program to its end; what it printed.
pub(super) async fn output(name: &str, command: Command) -> Result<String, ProgramError> {
    let output = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(io(format!("{name} cannot be started")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(ProgramError::Ended {
        program: name.to_owned(),
        status: output.status.to_string(),
        log: text(&output.stdout) + &text(&output.stderr),
    })
}
