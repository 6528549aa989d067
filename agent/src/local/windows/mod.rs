//! The local socket on Windows: a named pipe, named after the state directory.

mod access;

use super::exchange::{self, CONNECTIONS, WITHIN};
use super::{Answer, LocalError, Request, Responder};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// All instances of the pipe are taken: `ERROR_PIPE_BUSY`.
const BUSY: i32 = 231;
/// After which time a busy pipe is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// Listens until `stop`. Who may open the pipe is decided by its access list.
///
/// # Errors
/// [`LocalError::Io`] when the pipe cannot be made.
pub async fn serve(
    path: &Path,
    responder: Arc<dyn Responder>,
    stop: CancellationToken,
) -> Result<(), LocalError> {
    let failed = |source| LocalError::Io {
        path: path.to_owned(),
        source,
    };
    let name = pipe_name(path);
    let mut waiting = access::create(&name, true).map_err(failed)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Room first: who finds none waits for a pipe to be there.
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, waiting.connect().await)
        };
        let (permit, connected) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => return Ok(()),
        };
        let fresh = access::create(&name, false).map_err(failed)?;
        let pipe = std::mem::replace(&mut waiting, fresh);
        if connected.is_ok() {
            let responder = Arc::clone(&responder);
            tokio::spawn(async move {
                // The other side went away or was too slow; it is its own loss.
                drop(timeout(WITHIN, converse(pipe, responder.as_ref())).await);
                drop(permit);
            });
        }
    }
}

/// What a pipe holds is lost when it is closed, so the other side hangs up first.
async fn converse(pipe: NamedPipeServer, responder: &dyn Responder) -> io::Result<()> {
    let (mut read, write) = tokio::io::split(pipe);
    exchange::answer(&mut read, write, true, responder).await?;
    let mut rest = [0; 64];
    while read.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Asks the running agent.
///
/// # Errors
/// [`LocalError`] where none runs or it cannot be asked.
pub async fn ask(path: &Path, request: Request) -> Result<Answer, LocalError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LocalError::NotRunning(path.to_owned()),
        _ => LocalError::Io {
            path: path.to_owned(),
            source,
        },
    };
    let name = pipe_name(path);
    let asking = async {
        let (read, write) = tokio::io::split(connect(&name).await?);
        exchange::ask(read, write, &request).await
    };
    let Ok(asked) = timeout(WITHIN, asking).await else {
        return Err(LocalError::Silent {
            pid: None,
            within: WITHIN,
        });
    };
    exchange::read(asked, failed)
}

/// Not known here: Windows tells the process behind a pipe only to code that we do not have.
pub async fn listener_pid(_path: &Path) -> Option<u32> {
    None
}

async fn connect(name: &str) -> io::Result<NamedPipeClient> {
    loop {
        match ClientOptions::new().open(name) {
            Err(error) if error.raw_os_error() == Some(BUSY) => sleep(AGAIN).await,
            other => return other,
        }
    }
}

/// Pipes have one flat space of names: the hash tells the state directories of a machine apart.
fn pipe_name(path: &Path) -> String {
    let hash = blake3::hash(path.to_string_lossy().to_lowercase().as_bytes());
    format!(r"\\.\pipe\dgon-agent-{}", &hash.to_hex()[..16])
}
