//! The package for Fedora, RHEL, openSUSE and their like.

use super::{Job, fresh, stage};
use crate::shell;
use anyhow::Result;
use std::path::Path;

const PLACES: stage::Places = stage::Places {
    zsh: "site-functions",
    units: "usr/lib/systemd/system",
};

/// Makes it.
pub(super) fn make(job: &Job, program: &Path) -> Result<()> {
    let root = job.work.join("rpm");
    let top = job.work.join("rpmbuild");
    stage::linux(job, program, &root, &PLACES)?;
    super::install(
        &shell::root().join("LICENSE"),
        &root.join("usr/share/licenses/dgon-agent/LICENSE"),
        "644",
    )?;
    fresh(&top)?;
    // What is packed for a test alone is packed quickly.
    let payload = if job.profile == "dev" {
        "w1.gzdio"
    } else {
        "w6.xzdio"
    };
    let defines = [
        format!("_topdir {}", top.display()),
        format!("_dbpath {}", top.join("db").display()),
        format!("dgon_version {}", job.version),
        format!("dgon_stage {}", root.display()),
        format!("_binary_payload {payload}"),
    ];
    let mut rpmbuild = shell::command("rpmbuild");
    rpmbuild
        .args(["-bb", "--quiet", "--target", std::env::consts::ARCH])
        .env("SOURCE_DATE_EPOCH", &job.epoch);
    for define in &defines {
        rpmbuild.args(["--define", define]);
    }
    shell::check(rpmbuild.arg(shell::root().join("packaging/rpm/dgon-agent.spec")))?;
    let name = format!(
        "dgon-agent-{}-1.{}.rpm",
        job.version,
        std::env::consts::ARCH
    );
    let made = top.join("RPMS").join(std::env::consts::ARCH).join(&name);
    super::install(&made, &job.out.join(name), "644")
}
