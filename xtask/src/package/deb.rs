//! The package for Debian and Ubuntu.

use super::{Job, elf, stage, write};
use crate::shell;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

const PLACES: stage::Places = stage::Places {
    zsh: "vendor-completions",
    units: "lib/systemd/system",
};
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Makes it.
pub(super) fn make(job: &Job, program: &Path) -> Result<()> {
    let definitions = shell::root().join("packaging/debian");
    let root = job.work.join("deb");
    stage::linux(job, program, &root, &PLACES)?;
    let doc = root.join("usr/share/doc/dgon-agent");
    super::install(
        &definitions.join("copyright"),
        &doc.join("copyright"),
        "644",
    )?;
    super::install(
        &definitions.join("lintian-overrides"),
        &root.join("usr/share/lintian/overrides/dgon-agent"),
        "644",
    )?;
    let date = shell::output(
        shell::command("date")
            .args(["--utc", "--rfc-email", "--date"])
            .arg(format!("@{}", job.epoch)),
    )?;
    let fill = |name: &str| -> Result<String> {
        let text = std::fs::read_to_string(definitions.join(name))
            .with_context(|| format!("packaging/debian/{name} cannot be read"))?;
        Ok(text
            .replace("@VERSION@", &job.version)
            .replace("@MAINTAINER@", &job.maintainer)
            .replace("@DATE@", date.trim()))
    };
    let log = doc.join("changelog");
    write(&log, fill("changelog")?)?;
    shell::check(shell::command("gzip").arg("-9n").arg(&log))?;

    let architecture = architecture()?;
    let size = shell::output(
        shell::command("du")
            .args(["--summarize", "--apparent-size", "--block-size=1024"])
            .arg(&root),
    )?;
    let control = fill("control")?
        .replace("@ARCH@", architecture)
        .replace("@DEPENDS@", &depends(program)?)
        .replace("@SIZE_KIB@", size.split_whitespace().next().unwrap_or("0"));
    write(&root.join("DEBIAN/control"), control)?;
    for script in SCRIPTS {
        super::install(
            &definitions.join(script),
            &root.join("DEBIAN").join(script),
            "755",
        )?;
    }
    checksums(&root)?;
    shell::check(
        shell::command("chmod")
            .args(["-R", "u=rwX,go=rX"])
            .arg(&root),
    )?;
    let package = job
        .out
        .join(format!("dgon-agent_{}_{architecture}.deb", job.version));
    // What is packed for a test alone is packed quickly.
    let compression = if job.profile == "dev" {
        ["-Zgzip", "-z1"]
    } else {
        ["-Zxz", "-z6"]
    };
    shell::check(
        shell::command("dpkg-deb")
            .arg("--root-owner-group")
            .args(compression)
            .arg("--build")
            .args([&root, &package])
            .env("SOURCE_DATE_EPOCH", &job.epoch),
    )
}

/// The libraries that the program loads, each with the oldest version that has what it uses.
fn depends(program: &Path) -> Result<String> {
    let floors = elf::floors(program)?;
    let mut packages = vec![format!("libc6 (>= {})", floors.glibc.unwrap_or_default())];
    let gcc = floors.gcc.unwrap_or_default();
    for library in elf::needed(program)? {
        match library.as_str() {
            "libgcc_s.so.1" => {
                packages.push(format!("libgcc-s1 (>= {})", gcc.trim_end_matches(".0.0")))
            }
            name if name.starts_with("ld-linux") => {}
            "libc.so.6" | "libm.so.6" | "libdl.so.2" | "libpthread.so.0" | "librt.so.1" => {}
            other => bail!(
                "the program loads {other}, and no Debian package is named for it in xtask/src/package/deb.rs"
            ),
        }
    }
    Ok(packages.join(", "))
}

fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no Debian package is made for {other}"),
    }
}

/// `md5sums`, by which dpkg --verify finds files that were changed.
fn checksums(root: &Path) -> Result<()> {
    let list = shell::output(shell::command("sh").current_dir(root).args([
        "-c",
        "find usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum",
    ]))?;
    write(&root.join("DEBIAN/md5sums"), list)
}
