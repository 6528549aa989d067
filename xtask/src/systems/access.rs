//! Windows alone: the state directory is closed to others, and one that is open is told of.
//!
//! Wine makes a list of rights from a file's Unix mode and a mode from a list, so the mode shows what the agent asked
//! for, and a changed mode stands for somebody who let others in.

use super::bounded;
use super::checks::{Bench, Check, check, diagnosis, expect};
use super::wine::Others;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::path::Path;

pub(super) const CHECKS: [Check; 2] = [("a closed state directory", closed), ("an open one", open)];

/// Everybody, as Windows numbers them.
const EVERYBODY: &str = "S-1-1-0";
/// Who is neither owner nor of the owner's group, of a Unix mode.
const OTHERS: u32 = 0o007;

/// A directory of the agent's is closed by its own list, where everything else that is made is open.
fn closed(bench: &mut Bench) -> Result<String> {
    bench.end()?;
    let Some(windows) = bench.guest.windows() else {
        bail!("this is no Windows");
    };
    windows.serve(Others::In)?;
    let fresh = bench.folder.join("fresh state");
    let mut enrol = bench.agent(&["enroll", "--json", "--api", "http://127.0.0.1:9"]);
    enrol
        .env("DGON_STATE_DIR", bench.guest.path(&fresh))
        .env("DGON_ENROL_TOKEN", "dgon-enrol-of-nobody");
    let said = bounded::output(&mut enrol)?;
    let mode = mode(&fresh).with_context(|| {
        format!(
            "it made no state directory: {}",
            String::from_utf8_lossy(&said.stderr)
        )
    });
    windows.serve(Others::Out)?;
    let mode = mode?;
    ensure!(
        mode & OTHERS == 0,
        "the state directory lets others in ({mode:o})"
    );
    Ok(format!("made with mode {mode:o} where others are let in"))
}

/// The agent refuses a key that others can read, and says whom and how to mend it.
fn open(bench: &mut Bench) -> Result<String> {
    let state = bench.folder.join("state");
    let key = state.join("node.key");
    let report = with_mode(&key, 0o604, || diagnosis(bench))?;
    told(&report, "identity.key")?;
    let report = with_mode(&state, 0o705, || diagnosis(bench))?;
    told(&report, "config.state_mode")?;
    let report = diagnosis(bench)?;
    for id in ["identity.key", "config.state_mode"] {
        expect(&report, id, "ok")?;
    }
    Ok("a key and a directory that everybody may read are refused, with the icacls that closes them".to_owned())
}

fn told(report: &Value, id: &str) -> Result<()> {
    let check = check(report, id)?;
    let text = check.to_string();
    ensure!(
        check["outcome"] != "ok",
        "it is well though it is open: {text}"
    );
    for word in [EVERYBODY, "icacls"] {
        ensure!(text.contains(word), "{word} is not named: {text}");
    }
    Ok(())
}

#[cfg(unix)]
fn mode(path: &Path) -> Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_path: &Path) -> Result<u32> {
    bail!("there are no modes here")
}

/// Does something while a file or directory has another mode.
#[cfg(unix)]
fn with_mode<T>(path: &Path, open: u32, act: impl FnOnce() -> Result<T>) -> Result<T> {
    use std::os::unix::fs::PermissionsExt as _;
    let before = std::fs::metadata(path)?.permissions();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(open))?;
    let done = act();
    std::fs::set_permissions(path, before)?;
    done
}

#[cfg(not(unix))]
fn with_mode<T>(_path: &Path, _open: u32, _act: impl FnOnce() -> Result<T>) -> Result<T> {
    bail!("there are no modes here")
}
