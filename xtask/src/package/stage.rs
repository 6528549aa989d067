//! What every package has besides the program: manual pages, shell completions, the unit, the licence.
//!
//! All of it is made from the program's own command line, so it cannot tell of flags that do not exist.

use super::{Job, build, fresh, install, write};
use crate::shell;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Shell, and the name that its completions have.
const SHELLS: [(&str, &str); 4] = [
    ("bash", "dgon-agent.bash"),
    ("zsh", "_dgon-agent"),
    ("fish", "dgon-agent.fish"),
    ("powershell", "dgon-agent.ps1"),
];

/// Where systems look for completions and units.
pub(super) struct Places {
    /// Folder of zsh's completions.
    pub(super) zsh: &'static str,
    /// Folder of units.
    pub(super) units: &'static str,
}

fn documents_dir(job: &Job) -> PathBuf {
    job.work.join("documents")
}

/// Makes manual pages and completions with a debug build of the command line.
pub(super) fn documents(job: &Job) -> Result<()> {
    let folder = documents_dir(job);
    fresh(&folder)?;
    crate::build::programs()?;
    let date = shell::output(
        shell::command("date")
            .args(["--utc", "+%Y-%m-%d", "--date"])
            .arg(format!("@{}", job.epoch)),
    )?;
    shell::check(
        shell::command(crate::build::program("examples/manual"))
            .arg(folder.join("man"))
            .args([&job.version, date.trim()]),
    )?;
    for (shell_name, file) in SHELLS {
        let text = shell::output(
            shell::command(build::debug_program()).args(["completions", shell_name]),
        )?;
        write(&folder.join(file), text)?;
    }
    Ok(())
}

/// The manual pages.
pub(super) fn manual(job: &Job) -> Result<Vec<PathBuf>> {
    let folder = std::fs::read_dir(documents_dir(job).join("man"))?;
    folder.map(|entry| Ok(entry?.path())).collect()
}

/// One of the completions.
pub(super) fn completions(job: &Job, name: &str) -> PathBuf {
    documents_dir(job).join(name)
}

/// Puts program, manual, completions and unit where a package for Linux has them, below `root`.
pub(super) fn linux(job: &Job, program: &Path, root: &Path, places: &Places) -> Result<()> {
    fresh(root)?;
    install(program, &root.join("usr/bin/dgon-agent"), "755")?;
    let unit = shell::root().join("systemd/dgon-agent.service");
    install(
        &unit,
        &root.join(places.units).join("dgon-agent.service"),
        "644",
    )?;
    share(job, &root.join("usr/share"), places.zsh)
}

/// Manual pages and completions below a `share` folder.
pub(super) fn share(job: &Job, share: &Path, zsh: &str) -> Result<()> {
    let documents = documents_dir(job);
    let targets = [
        (
            "dgon-agent.bash",
            "bash-completion/completions/dgon-agent".to_owned(),
        ),
        ("_dgon-agent", format!("zsh/{zsh}/_dgon-agent")),
        (
            "dgon-agent.fish",
            "fish/vendor_completions.d/dgon-agent.fish".to_owned(),
        ),
    ];
    for (source, target) in targets {
        install(&documents.join(source), &share.join(target), "644")?;
    }
    for page in manual(job)? {
        if let Some(name) = page.file_name() {
            install(&page, &share.join("man/man1").join(name), "644")?;
        }
    }
    gzip(&share.join("man/man1"))
}

/// Compresses every file of a folder, without names and times in the result.
pub(super) fn gzip(folder: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    shell::check(shell::command("gzip").arg("-9n").args(files))
}
