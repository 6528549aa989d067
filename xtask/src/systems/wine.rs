//! A Windows of our own under wine: its folder, its server and its end.

use super::bounded::{self, until};
use super::{bounded::PATIENCE, folder};
use crate::shell;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// Where wine's loader is.
pub(super) const LOADER: [&str; 2] = ["/usr/lib/wine/wine64", "wine64"];
/// Where its server is.
const SERVER: [&str; 3] = ["/usr/lib/wine/wineserver64", "wineserver64", "wineserver"];
/// How long a server without programs stays, seconds: one that went at once would take the next program's first words
/// with it. Ours ends before, except where this process is killed.
const STAYS: &str = "-p60";

/// A Windows. What still runs in it ends with it.
pub(super) struct Wine {
    loader: String,
    prefix: PathBuf,
}

impl Wine {
    /// Makes it, with nothing left of a run that was broken off.
    pub(super) fn start() -> Result<Self> {
        let wine = Self {
            loader: super::guest::first(&LOADER)?,
            prefix: folder().join("wine/prefix"),
        };
        std::fs::create_dir_all(wine.home())?;
        std::fs::create_dir_all(&wine.prefix)?;
        wine.serve(Others::Out)?;
        // It warns of windows that cannot be drawn.
        bounded::success(wine.run("wineboot.exe".as_ref()).arg("--init"))?;
        Ok(wine)
    }

    /// Starts the server, anew where it runs. It is the one who makes files, so its umask counts.
    pub(super) fn serve(&self, others: Others) -> Result<()> {
        self.end()?;
        let mask = match others {
            Others::In => "022",
            Others::Out => "077",
        };
        let mut server = shell::command("sh");
        server
            .args(["-c", "umask \"$1\" && shift && exec \"$@\"", "sh", mask])
            .args([&super::guest::first(&SERVER)?, STAYS]);
        self.environment(&mut server);
        bounded::success(&mut server).map(drop)
    }

    /// A command of a Windows program.
    pub(super) fn run(&self, program: &Path) -> Command {
        let mut command = shell::command(&self.loader);
        command.arg(program);
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        super::guest::forget_environment(command);
        command
            .env("HOME", self.home())
            .env("WINEPREFIX", &self.prefix)
            .env("WINEDEBUG", "-all")
            // Our own pdh.dll; nothing is added to this machine's menus, no runtime of .NET and no browser is offered,
            // and no debugger looks for minutes at what has crashed.
            .env(
                "WINEDLLOVERRIDES",
                "pdh=n;winemenubuilder.exe,winedbg.exe=d;mscoree,mshtml=",
            );
    }

    /// Wine links the folders of its user to those of this machine's; these are empty.
    fn home(&self) -> PathBuf {
        self.prefix.with_file_name("home")
    }

    /// Ends one program as Windows does it.
    pub(super) fn kill(&self, image: &str, child: &mut Child) -> Result<()> {
        bounded::success(self.run("taskkill.exe".as_ref()).args(["/F", "/IM", image]))?;
        ensure!(
            bounded::wait(child, PATIENCE)?.is_some(),
            "{image} runs on after its TerminateProcess"
        );
        Ok(())
    }

    /// Ends the server and whatever runs in this Windows.
    pub(super) fn end(&self) -> Result<()> {
        let mut server = Command::new(super::guest::first(&SERVER)?);
        self.environment(&mut server);
        // It fails where no server runs.
        bounded::output(server.arg("-k"))?;
        until("the end of wine", || {
            let left = self.processes()?;
            ensure!(left.is_empty(), "these processes run on: {left:?}");
            Ok(())
        })
    }

    /// The processes of this Windows, by the folder that their environment names.
    fn processes(&self) -> Result<Vec<u32>> {
        let own = format!("WINEPREFIX={}", self.prefix.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // One that has ended meanwhile, or is another user's, cannot be read.
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == own.as_bytes())
            {
                found.push(id);
            }
        }
        Ok(found)
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            println!("  wine could not be ended: {error:#}");
        }
    }
}

/// Whether files that are made without rights of their own let other users in. Wine knows no inheritance of rights; a
/// umask stands for what a file would inherit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Others {
    In,
    Out,
}
