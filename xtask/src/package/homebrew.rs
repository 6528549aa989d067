//! The Homebrew formula, and the source archive that it builds from.

use super::{Job, install, stage, write};
use crate::shell;
use anyhow::Result;

/// Makes both. The formula fetches the archive from `DGON_SOURCE_URL`, a folder's address; where that is not set,
/// from where it was made, which serves on this machine alone.
pub(super) fn make(job: &Job) -> Result<()> {
    let name = format!("dgon-agent-{}-source", job.version);
    let plain = job.work.join(format!("{name}.tar"));
    let mut archive = shell::command("git");
    archive
        .args(["archive", "--format=tar"])
        .arg(format!("--mtime=@{}", job.epoch));
    archive.arg(format!("--prefix={name}/man/"));
    let mut pages = stage::manual(job)?;
    pages.sort();
    for page in pages {
        archive.arg(format!("--add-file={}", page.display()));
    }
    archive.arg(format!("--prefix={name}/"));
    shell::check(archive.arg("--output").arg(&plain).arg("HEAD"))?;
    shell::check(shell::command("gzip").args(["-9n", "--force"]).arg(&plain))?;
    let file = format!("{name}.tar.gz");
    let made = job.out.join(&file);
    install(&job.work.join(&file), &made, "644")?;

    let url = match std::env::var("DGON_SOURCE_URL") {
        Ok(folder) if !folder.is_empty() => format!("{}/{file}", folder.trim_end_matches('/')),
        _ => format!("file://{}", made.display()),
    };
    let sum = shell::output(shell::command("sha256sum").arg(&made))?;
    let commit = shell::output(shell::command("git").args(["rev-parse", "--short=12", "HEAD"]))?;
    let template = std::fs::read_to_string(shell::root().join("packaging/homebrew/dgon-agent.rb"))?;
    let formula = template
        .replace("@HOMEPAGE@", "https://dgon.example")
        .replace("@URL@", &url)
        .replace("@VERSION@", &job.version)
        .replace(
            "@SHA256@",
            sum.split_whitespace().next().unwrap_or_default(),
        )
        .replace("@COMMIT@", commit.trim())
        .replace("@EPOCH@", &job.epoch);
    write(&job.out.join("dgon-agent.rb"), formula)
}
