//! Programs with a limit on their time: one that takes longer is killed and told of.
//!
//! What a program prints goes to a file and not through a pipe: wine's servers would hold a pipe open after the program
//! has ended.

use super::folder;
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything; programs under an emulator are slow on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);

/// Looks until `look` gives something; what went wrong at last where it never does.
pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("{what} did not come within {PATIENCE:?}")));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Runs a command to its end and takes what it printed, whatever it ended with.
pub(super) fn output(command: &mut Command) -> Result<Output> {
    let shown = format!("{:?}", command.get_program());
    let (mut stdout, mut stderr) = (unnamed("stdout")?, unnamed("stderr")?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()
        .with_context(|| format!("{shown} could not be started"))?;
    let ended = wait(&mut child, PATIENCE)?;
    if ended.is_none() {
        child.kill()?;
    }
    let output = Output {
        status: child.wait()?,
        stdout: content(&mut stdout)?,
        stderr: content(&mut stderr)?,
    };
    if ended.is_none() {
        bail!(
            "{shown} {:?} did not end within {PATIENCE:?} and was killed: {}",
            command.get_args().collect::<Vec<_>>(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output)
}

/// The same for a command that has to end well.
pub(super) fn success(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!(
            "{:?} {:?} failed ({}): {}",
            command.get_program(),
            command.get_args().collect::<Vec<_>>(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How a program ended, `None` where it still runs after that time.
pub(super) fn wait(child: &mut Child, within: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// A file that is gone with its last handle.
fn unnamed(what: &str) -> Result<File> {
    let path = folder().join(format!("{what}.{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .with_context(|| format!("{} cannot be made", path.display()))?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn content(file: &mut File) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_is_told_apart_from_one_that_runs_on() {
        let mut ended = Command::new("true").spawn().unwrap();
        assert!(wait(&mut ended, PATIENCE).unwrap().unwrap().success());
        let mut runs = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(wait(&mut runs, Duration::ZERO).unwrap(), None);
        runs.kill().unwrap();
        assert!(wait(&mut runs, PATIENCE).unwrap().is_some());
    }

    #[test]
    fn what_a_server_leaves_open_holds_nothing_up() {
        std::fs::create_dir_all(folder()).unwrap();
        let mut command = Command::new("sh");
        let output = output(command.args(["-c", "sleep 5 & echo said; exit 3"])).unwrap();
        assert_eq!(output.stdout, b"said\n");
        assert_eq!(output.status.code(), Some(3));
    }
}
