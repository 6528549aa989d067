//! The zip for Windows: program, service scripts, completions.

use super::{Job, build, fresh, install, stage, write};
use crate::shell;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

const FILES: [&str; 2] = ["install.ps1", "uninstall.ps1"];

/// Makes it from the program that the caller gave, else from one that is built here.
pub(super) fn make(job: &Job) -> Result<()> {
    let exe = match &job.exe {
        Some(exe) => std::path::absolute(exe)?,
        None => build::windows(job)?,
    };
    is_windows_program(&exe)?;
    let name = format!("dgon-agent-{}-windows-x86_64", job.version);
    let parent = job.work.join("windows");
    fresh(&parent)?;
    let root = parent.join(&name);
    let definitions = shell::root().join("packaging/windows");
    install(&exe, &root.join("dgon-agent.exe"), "755")?;
    for file in FILES {
        let text = std::fs::read_to_string(definitions.join(file))?;
        write(&root.join(file), for_windows(&text))?;
    }
    let readme = std::fs::read_to_string(definitions.join("README.txt"))?;
    write(
        &root.join("README.txt"),
        for_windows(&readme.replace("@VERSION@", &job.version)),
    )?;
    install(
        &stage::completions(job, "dgon-agent.ps1"),
        &root.join("dgon-agent.ps1"),
        "644",
    )?;
    let licence = std::fs::read_to_string(shell::root().join("LICENSE"))?;
    write(&root.join("LICENSE.txt"), for_windows(&licence))?;
    let archive = job.out.join(format!("{name}.zip"));
    if archive.exists() {
        std::fs::remove_file(&archive)?;
    }
    let script = format!(
        "find {name} -exec touch --no-dereference --date=@{} {{}} + && \
         find {name} -type f | LC_ALL=C sort | TZ=UTC zip -X -q -9 \"$1\" -@",
        job.epoch
    );
    shell::check(
        shell::command("sh")
            .current_dir(&parent)
            .args(["-c", &script, "sh"])
            .arg(&archive),
    )
}

/// Lines end with CR and LF there.
fn for_windows(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// A Windows program begins with `MZ`.
fn is_windows_program(exe: &Path) -> Result<()> {
    let bytes = std::fs::read(exe).with_context(|| format!("{} cannot be read", exe.display()))?;
    if !bytes.starts_with(b"MZ") {
        bail!("{} is not a Windows program", exe.display());
    }
    Ok(())
}
