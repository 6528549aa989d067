//! Files that are generated and committed, so that a change of the API shows as a diff.

use crate::{build, shell};
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// The OpenAPI document.
pub(crate) const OPENAPI: &str = "control-plane/openapi.json";

fn openapi() -> Result<String> {
    shell::output(shell::command(build::program("dgon-control-plane")).arg("openapi"))
}

/// The JSON schemas of what the agent prints and reads.
const SCHEMAS: &str = "schemas";

fn schemas(folder: &Path) -> Result<()> {
    shell::check(shell::command(build::program("examples/schemas")).arg(folder))
}

/// Writes the agent's schemas.
pub(crate) fn write_schemas() -> Result<()> {
    build::programs()?;
    let folder = shell::root().join(SCHEMAS);
    std::fs::create_dir_all(&folder).context("the folder schemas/ cannot be made")?;
    schemas(&folder)
}

/// Fails when a committed schema is not what the types say.
fn check_schemas() -> Result<()> {
    let fresh = shell::target_dir().join("schemas");
    std::fs::create_dir_all(&fresh).context("a folder for fresh schemas cannot be made")?;
    schemas(&fresh)?;
    for entry in std::fs::read_dir(&fresh).context("the fresh schemas cannot be read")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let committed = std::fs::read(shell::root().join(SCHEMAS).join(name)).unwrap_or_default();
        if committed != std::fs::read(&path)? {
            bail!(
                "{SCHEMAS}/{} is not what the agent's types say; run: cargo xtask schemas",
                name.display()
            );
        }
    }
    Ok(())
}

/// Writes all of them.
pub(crate) fn write() -> Result<()> {
    write_schemas()?;
    std::fs::write(shell::root().join(OPENAPI), openapi()?)
        .context("the OpenAPI document could not be written")?;
    web_types()
}

fn web_types() -> Result<()> {
    shell::check(shell::command("npm").args([
        "--prefix",
        "tools/apigen",
        "ci",
        "--no-audit",
        "--no-fund",
    ]))?;
    shell::check(shell::command("npm").args([
        "--prefix",
        "tools/apigen",
        "run",
        "--silent",
        "generate",
    ]))
}

/// Fails when a committed file is not what the generator makes.
pub(crate) fn check() -> Result<()> {
    build::programs()?;
    check_schemas()?;
    let committed = std::fs::read_to_string(shell::root().join(OPENAPI))
        .context("control-plane/openapi.json is missing; run: cargo xtask openapi")?;
    if committed.trim() != openapi()?.trim() {
        bail!("{OPENAPI} is not what the handlers say; run: cargo xtask openapi");
    }
    let types = "web/src/api/__generated__";
    let before = fingerprint(types)?;
    web_types()?;
    if fingerprint(types)? != before {
        bail!("{types} was not up to date and has been regenerated; commit it");
    }
    Ok(())
}

/// Names and contents of all files of a folder.
fn fingerprint(folder: &str) -> Result<Vec<(std::path::PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut open = vec![shell::root().join(folder)];
    while let Some(dir) = open.pop() {
        for entry in
            std::fs::read_dir(&dir).with_context(|| format!("{} cannot be read", dir.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path)
            } else {
                files.push((path.clone(), std::fs::read(&path)?))
            }
        }
    }
    files.sort();
    Ok(files)
}
