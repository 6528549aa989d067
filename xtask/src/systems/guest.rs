//! A program of another system, and what runs it here.

use super::bounded::{self, PATIENCE};
use super::wine::Wine;
use crate::shell;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// The emulators of arm64 programs.
pub(super) const QEMU: [&str; 2] = ["qemu-aarch64", "qemu-aarch64-static"];
/// Arm64's C library.
const ARM_ROOT: &str = "/usr/aarch64-linux-gnu";

/// The agent for another system.
pub(super) struct Guest {
    program: PathBuf,
    runner: Runner,
}

enum Runner {
    Wine(Wine),
    Qemu(String),
}

impl Guest {
    /// A Windows program, with a Windows of its own around it.
    pub(super) fn wine(program: &Path) -> Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            runner: Runner::Wine(Wine::start()?),
        })
    }

    /// An arm64 program.
    pub(super) fn qemu(program: &Path) -> Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            runner: Runner::Qemu(first(&QEMU)?),
        })
    }

    /// A command of the agent, told nothing of this machine's environment.
    pub(super) fn agent(&self) -> Command {
        match &self.runner {
            Runner::Wine(wine) => wine.run(&self.program),
            Runner::Qemu(qemu) => {
                let mut command = shell::command(qemu);
                command.args(["-L", ARM_ROOT]).arg(&self.program);
                forget_environment(&mut command);
                command
            }
        }
    }

    /// A path of this machine as the program names it.
    pub(super) fn path(&self, path: &Path) -> String {
        let text = path.display().to_string();
        match self.windows() {
            Some(_) => format!("Z:{}", text.replace('/', "\\")),
            None => text,
        }
    }

    /// The Windows that it runs in, where it is one.
    pub(super) fn windows(&self) -> Option<&Wine> {
        match &self.runner {
            Runner::Wine(wine) => Some(wine),
            Runner::Qemu(_) => None,
        }
    }

    /// Ends a program at once, as its system does it: TerminateProcess or SIGKILL.
    pub(super) fn kill(&self, child: &mut Child) -> Result<()> {
        match &self.runner {
            Runner::Wine(wine) => wine.kill("dgon-agent.exe", child),
            Runner::Qemu(_) => {
                child.kill()?;
                ensure!(
                    bounded::wait(child, PATIENCE)?.is_some(),
                    "the killed program did not end"
                );
                Ok(())
            }
        }
    }

    /// Ends what runs around it.
    pub(super) fn end(&self) -> Result<()> {
        self.windows().map_or(Ok(()), Wine::end)
    }
}

/// Leaves a command only what every program needs.
pub(super) fn forget_environment(command: &mut Command) {
    command.env_clear();
    for name in ["PATH", "HOME", "USER", "LANG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

/// The first program of these that is there.
pub(super) fn first(names: &[&str]) -> Result<String> {
    names
        .iter()
        .find(|name| Path::new(name).is_file() || shell::exists(name))
        .map(|name| (*name).to_owned())
        .with_context(|| format!("none of {} is installed", names.join(", ")))
}
