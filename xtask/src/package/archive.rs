//! Archives for systems without a package of their own: everything below one folder, in the layout of `/usr/local`
//! and `~/.local`.

use super::{Job, fresh, install, stage};
use crate::shell;
use anyhow::Result;
use std::path::Path;

/// Makes `dgon-agent-VERSION-linux-ARCH{suffix}.tar.gz`.
pub(super) fn linux(job: &Job, program: &Path, suffix: &str) -> Result<()> {
    let name = format!(
        "dgon-agent-{}-linux-{}{suffix}",
        job.version,
        std::env::consts::ARCH
    );
    let parent = job.work.join("tar");
    fresh(&parent)?;
    let root = parent.join(&name);
    install(program, &root.join("bin/dgon-agent"), "755")?;
    stage::share(job, &root.join("share"), "site-functions")?;
    install(
        &shell::root().join("systemd/dgon-agent.service"),
        &root.join("share/dgon-agent/dgon-agent.service"),
        "644",
    )?;
    install(
        &shell::root().join("LICENSE"),
        &root.join("share/doc/dgon-agent/LICENSE"),
        "644",
    )?;
    tar(job, &parent, &name)
}

/// Packs the folder `name` of `parent`: owned by root, in order, at one time, so that the bytes are always the same.
fn tar(job: &Job, parent: &Path, name: &str) -> Result<()> {
    let plain = parent.join(format!("{name}.tar"));
    shell::check(
        shell::command("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .args(["--mode=u=rwX,go=rX", "--format=gnu"])
            .arg(format!("--mtime=@{}", job.epoch))
            .arg("--directory")
            .arg(parent)
            .arg("--create")
            .arg("--file")
            .arg(&plain)
            .arg(name),
    )?;
    let level = if job.profile == "dev" { "-1n" } else { "-9n" };
    shell::check(shell::command("gzip").args([level, "--force"]).arg(&plain))?;
    let packed = parent.join(format!("{name}.tar.gz"));
    install(&packed, &job.out.join(format!("{name}.tar.gz")), "644")
}
