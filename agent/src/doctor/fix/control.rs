//! Starting and restarting the agent.
//!
//! What a service manager keeps running is never ended by hand: the manager would start it again beside the one that
//! the person starts, or count a failure. What a person runs is ended by `dgon-agent stop`, which waits until the next
//! one can start. A process is named by its id, never by its name: a machine may run several agents.

use super::System;
use crate::service::Level;

/// Who started the running agent, or would start it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::doctor) enum Control {
    /// The system's service manager: systemd, launchd or Windows'.
    Service(Level),
    /// A person, or a supervisor that we do not know.
    ByHand,
}

/// The commands of a person for the places that are examined.
#[derive(Debug)]
pub(in crate::doctor) struct ByHand {
    /// Starts the agent.
    pub(in crate::doctor) run: String,
    /// Ends it, and waits for its end.
    pub(in crate::doctor) stop: String,
}

impl Control {
    /// Starts the agent.
    pub(in crate::doctor) fn start(self, system: System, by_hand: &ByHand) -> String {
        match self {
            Self::Service(level) => service(system, level, "start"),
            Self::ByHand => by_hand.run.clone(),
        }
    }

    /// Ends the agent and starts it again.
    pub(in crate::doctor) fn restart(self, system: System, by_hand: &ByHand) -> String {
        match self {
            Self::Service(level) => service(system, level, "restart"),
            Self::ByHand => system.shell().both(&by_hand.stop, &by_hand.run),
        }
    }

    /// The same for an agent that does not listen; where its process is not known, a look at those there are.
    pub(in crate::doctor) fn replace_frozen(
        self,
        system: System,
        by_hand: &ByHand,
        pid: Option<u32>,
    ) -> String {
        match (self, pid) {
            (Self::Service(level), _) => service(system, level, "restart"),
            (Self::ByHand, Some(pid)) => {
                let shell = system.shell();
                shell.both(&shell.kill(pid), &by_hand.run)
            }
            (Self::ByHand, None) => system.list_agents().to_owned(),
        }
    }

    /// Does `steps` while the agent does not run, and starts it again. The files of the machine's service are root's.
    pub(in crate::doctor) fn while_stopped(
        self,
        system: System,
        by_hand: &ByHand,
        steps: &[String],
    ) -> String {
        let (stop, sudo) = match self {
            Self::Service(level) => (service(system, level, "stop"), sudo(system, level)),
            Self::ByHand => (by_hand.stop.clone(), ""),
        };
        let last = self.start(system, by_hand);
        let steps = steps.iter().map(|step| format!("{sudo}{step}"));
        let all: Vec<String> = std::iter::once(stop).chain(steps).collect();
        let shell = system.shell();
        all.iter()
            .rev()
            .fold(last, |then, first| shell.both(first, &then))
    }

    /// Has the agent that runs be of this program's version. A service may start another program than this one;
    /// `is_current` says that it starts one of this version.
    pub(in crate::doctor) fn update(
        self,
        system: System,
        by_hand: &ByHand,
        is_current: bool,
    ) -> String {
        match self {
            Self::Service(level) if !is_current => service(system, level, "install"),
            Self::Service(_) | Self::ByHand => self.restart(system, by_hand),
        }
    }
}

/// The command that steers a service of this level.
pub(in crate::doctor) fn service(system: System, level: Level, what: &str) -> String {
    let sudo = sudo(system, level);
    format!("{sudo}dgon-agent service {what}{}", level.flag())
}

/// What goes before a command that changes a service of this level, or its files.
fn sudo(system: System, level: Level) -> &'static str {
    match (system, level) {
        (System::Linux | System::Macos, Level::System) => "sudo ",
        (System::Windows, _) | (_, Level::User) => "",
    }
}
