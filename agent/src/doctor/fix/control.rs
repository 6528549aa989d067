//! Starting and restarting the agent.
//!
//! What a service manager keeps running is never killed by hand: the manager would start it again beside the one that
//! the person starts, or count a failure.

use super::System;
use crate::service::Level;

/// Who started the running agent, or would start it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::doctor) enum Control {
    /// The system's service manager: systemd, launchd or Windows'.
    Service(Level),
    /// A person, or a supervisor that we do not know; the process id where it is known.
    ByHand(Option<u32>),
}

impl Control {
    /// Starts the agent; `run` is the command of a person.
    pub(in crate::doctor) fn start(self, system: System, run: &str) -> String {
        match self {
            Self::Service(level) => service(system, level, "start"),
            Self::ByHand(_) => run.to_owned(),
        }
    }

    /// Ends the agent and starts it again.
    pub(in crate::doctor) fn restart(self, system: System, run: &str) -> String {
        let pid = match self {
            Self::Service(level) => return service(system, level, "restart"),
            Self::ByHand(pid) => pid,
        };
        let stop = match (system, pid) {
            (System::Linux | System::Macos, Some(pid)) => format!("kill -TERM {pid}"),
            (System::Linux | System::Macos, None) => "pkill -TERM -x dgon-agent".to_owned(),
            (System::Windows, Some(pid)) => format!("Stop-Process -Id {pid}"),
            (System::Windows, None) => "Stop-Process -Name dgon-agent".to_owned(),
        };
        system.shell().both(&stop, run)
    }

    /// Has the agent that runs be of this program's version. A service may start another program than this one;
    /// `is_current` says that it starts one of this version.
    pub(in crate::doctor) fn update(self, system: System, run: &str, is_current: bool) -> String {
        match self {
            Self::Service(level) if !is_current => service(system, level, "install"),
            Self::Service(_) | Self::ByHand(_) => self.restart(system, run),
        }
    }
}

/// The command that steers a service of this level.
pub(in crate::doctor) fn service(system: System, level: Level, what: &str) -> String {
    let sudo = match (system, level) {
        (System::Linux | System::Macos, Level::System) => "sudo ",
        (System::Windows, _) | (_, Level::User) => "",
    };
    format!("{sudo}dgon-agent service {what}{}", level.flag())
}
