//! A program of another system, and what runs it here.

use super::folder;
use crate::shell;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where wine's loader is.
pub(super) const WINE: [&str; 2] = ["/usr/lib/wine/wine64", "wine64"];
/// The emulators of arm64 programs.
pub(super) const QEMU: [&str; 2] = ["qemu-aarch64", "qemu-aarch64-static"];
/// Arm64's C library.
const ARM_ROOT: &str = "/usr/aarch64-linux-gnu";

/// The agent for another system.
pub(super) struct Guest {
    runner: Vec<String>,
    program: PathBuf,
    prefix: Option<PathBuf>,
}

impl Guest {
    /// A Windows program, with a Windows of its own around it.
    pub(super) fn wine(program: &Path) -> Result<Self> {
        let prefix = folder().join("wine/prefix");
        std::fs::create_dir_all(&prefix)?;
        let guest = Self {
            runner: vec![first(&WINE)?],
            program: program.to_owned(),
            prefix: Some(prefix),
        };
        // The first start makes a Windows' files; it warns of windows that cannot be drawn.
        shell::output(guest.run("wineboot.exe".as_ref()).arg("--init"))?;
        Ok(guest)
    }

    /// An arm64 program.
    pub(super) fn qemu(program: &Path) -> Result<Self> {
        Ok(Self {
            runner: vec![first(&QEMU)?, "-L".to_owned(), ARM_ROOT.to_owned()],
            program: program.to_owned(),
            prefix: None,
        })
    }

    /// A command of the agent, told nothing of this machine's environment.
    pub(super) fn agent(&self) -> Command {
        self.run(&self.program)
    }

    fn run(&self, program: &Path) -> Command {
        let (loader, options) = self
            .runner
            .split_first()
            .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let mut command = shell::command(loader);
        command.args(options).arg(program).env_clear();
        for name in ["PATH", "HOME", "USER", "LANG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(prefix) = &self.prefix {
            command
                .env("WINEPREFIX", prefix)
                .env("WINEDEBUG", "-all")
                // No runtime of .NET and no browser is offered for installation.
                .env("WINEDLLOVERRIDES", "mscoree,mshtml=");
        }
        command.stdin(Stdio::null());
        command
    }

    /// A path of this machine as the program names it.
    pub(super) fn path(&self, path: &Path) -> String {
        let text = path.display().to_string();
        if self.prefix.is_some() {
            format!("Z:{}", text.replace('/', "\\"))
        } else {
            text
        }
    }

    /// Whether it is Windows.
    pub(super) fn is_windows(&self) -> bool {
        self.prefix.is_some()
    }

    /// Ends a program at once, as its system does it: TerminateProcess or SIGKILL.
    pub(super) fn kill(&self, child: &mut Child) -> Result<()> {
        if self.prefix.is_some() {
            let mut kill = self.run("taskkill.exe".as_ref());
            shell::output(kill.args(["/F", "/IM", "dgon-agent.exe"]))?;
        } else {
            child.kill()?;
        }
        child.wait().context("the killed program did not end")?;
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(prefix) = &self.prefix {
            for server in ["/usr/lib/wine/wineserver", "wineserver"] {
                let mut end = Command::new(server);
                // What runs in this Windows ends with it; there may be nothing.
                if end.arg("-k").env("WINEPREFIX", prefix).status().is_ok() {
                    break;
                }
            }
        }
    }
}

/// The first program of these that is there.
fn first(names: &[&str]) -> Result<String> {
    names
        .iter()
        .find(|name| Path::new(name).is_file() || shell::exists(name))
        .map(|name| (*name).to_owned())
        .with_context(|| format!("none of {} is installed", names.join(", ")))
}
