//! The commands that the doctor prints, right for this system and for how the agent runs.
//!
//! Pure functions of the system and their arguments, so that every system's commands are tested on every system. A
//! check names what is to be done; only this module knows the words.
//!
//! | module | owns |
//! |---|---|
//! | [`control`] | starting and restarting the agent: by its service, or by hand |
//! | `files` | files, modes, values of agent.yaml |
//! | `machine` | the clock, the kernel's log, a restart, cards, runtimes |
//! | `net` | names, ports, certificates, HTTP, variables of the environment |

pub(super) mod control;
mod files;
mod machine;
mod net;
#[cfg(test)]
mod tests;

use crate::shell::Shell;

/// A system, as far as its commands differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Linux,
    Macos,
    Windows,
}

impl System {
    /// This one. What is neither macOS nor Windows has Linux' commands more likely than theirs.
    pub(super) const fn here() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::Macos
        } else {
            Self::Linux
        }
    }

    /// The shell that its people use.
    pub(super) const fn shell(self) -> Shell {
        match self {
            Self::Linux | Self::Macos => Shell::Posix,
            Self::Windows => Shell::PowerShell,
        }
    }

    /// Text as one word of a command.
    pub(super) fn word(self, text: &str) -> String {
        self.shell().word(text)
    }
}
