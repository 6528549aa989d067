//! The local socket on Unix systems.

use super::exchange::{self, CONNECTIONS, WITHIN};
use super::{Answer, LocalError, Request, Responder};
use dgon_agent_dataplane::accept::AcceptErrors;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const OWNER_ONLY: rustix::fs::Mode = rustix::fs::Mode::RUSR.union(rustix::fs::Mode::WUSR);
/// How long connecting may take, which waits for nobody unless the backlog is full.
const CONNECT: Duration = Duration::from_secs(1);
/// Connections that wait to be taken.
const BACKLOG: u32 = 64;

/// Listens until `stop`; the socket is gone afterwards. The caller holds the spool's lock, so that what lies at
/// `path` belongs to no running agent and is replaced.
///
/// # Errors
/// [`LocalError::Io`] when the socket cannot be made.
pub async fn serve(
    path: &Path,
    responder: Arc<dyn Responder>,
    stop: CancellationToken,
) -> Result<(), LocalError> {
    let listener = listen(path).map_err(|source| LocalError::Io {
        path: path.to_owned(),
        source,
    })?;
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut errors = AcceptErrors::of("a command");
    loop {
        // Room first: who finds none waits among those that are not taken yet.
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                errors.refused(&error).await;
                continue;
            }
        };
        errors.accepted();
        let responder = Arc::clone(&responder);
        tokio::spawn(async move {
            // The other side went away or was too slow; it is its own loss.
            let may_ask = is_owner(&stream);
            let (read, write) = stream.into_split();
            let exchange = exchange::answer(read, write, may_ask, responder.as_ref());
            drop(timeout(WITHIN, exchange).await);
            drop(permit);
        });
    }
    drop(fs::remove_file(path));
    Ok(())
}

/// Makes the socket readable by nobody else before anybody can know its name.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = Path::new(&fresh);
    drop(fs::remove_file(fresh));
    let listener = bind(fresh)?;
    fs::rename(fresh, path)?;
    Ok(listener)
}

/// Binds a socket that is its owner's alone. Never by `chmod` of the name, which another user may have put elsewhere
/// by then.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    // Linux makes the name with the mode that the socket has; elsewhere a socket has none.
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(&socket, OWNER_ONLY)?;
    socket.bind(path)?;
    #[cfg(not(target_os = "linux"))]
    {
        use rustix::fs::{AtFlags, CWD};
        rustix::fs::chmodat(CWD, path, OWNER_ONLY, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    socket.listen(BACKLOG)
}

/// Whether who connected may ask: the user who runs the agent, or root. The socket's mode says the same; this holds
/// also where somebody has opened it.
fn is_owner(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// Asks the running agent.
///
/// # Errors
/// [`LocalError`] where none runs or it cannot be asked.
pub async fn ask(path: &Path, request: Request) -> Result<Answer, LocalError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            LocalError::NotRunning(path.to_owned())
        }
        _ => LocalError::Io {
            path: path.to_owned(),
            source,
        },
    };
    let asking = async {
        let (read, write) = UnixStream::connect(path).await?.into_split();
        exchange::ask(read, write, &request).await
    };
    let Ok(asked) = timeout(WITHIN, asking).await else {
        let pid = listener_pid(path).await;
        return Err(LocalError::Silent {
            pid,
            within: WITHIN,
        });
    };
    exchange::read(asked, failed)
}

/// Process id of the agent that listens, as the system has it: also of one that is frozen and answers nothing.
pub async fn listener_pid(path: &Path) -> Option<u32> {
    let stream = timeout(CONNECT, UnixStream::connect(path)).await.ok()?;
    let pid = stream.ok()?.peer_cred().ok()?.pid()?;
    u32::try_from(pid).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::BoxFuture;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    struct Echo;

    impl Responder for Echo {
        fn answer(&self, request: Request) -> BoxFuture<'_, Answer> {
            Box::pin(async move {
                Answer::Refused {
                    message: format!("{request:?}"),
                }
            })
        }
    }

    async fn until_there(path: &Path) {
        while ask(path, Request::Status).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_request_gets_its_answer_and_the_socket_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let not_running = ask(&path, Request::Status).await;
        assert!(matches!(not_running, Err(LocalError::NotRunning(_))));
        let stop = CancellationToken::new();
        let server = tokio::spawn({
            let (path, stop) = (path.clone(), stop.clone());
            async move { serve(&path, Arc::new(Echo), stop).await }
        });
        until_there(&path).await;
        let answer = ask(&path, Request::Pause).await.unwrap();
        assert_eq!(
            answer,
            Answer::Refused {
                message: "Pause".to_owned()
            }
        );
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let mut stranger = UnixStream::connect(&path).await.unwrap();
        stranger.write_all(b"hello\n").await.unwrap();
        let mut text = String::new();
        stranger.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("refused"), "{text}");

        stop.cancel();
        server.await.unwrap().unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let serving = serve(&path, Arc::new(Echo), CancellationToken::new());
        let asking = async {
            until_there(&path).await;
            let mut silent = Vec::new();
            for _ in 0..CONNECTIONS {
                silent.push(UnixStream::connect(&path).await.unwrap());
            }
            // Who says nothing holds no place for long.
            let answer = ask(&path, Request::Pause).await;
            assert!(matches!(answer, Ok(Answer::Refused { .. })), "{answer:?}");
            drop(silent);
        };
        tokio::select! {
            _ = serving => panic!("it ended"),
            () = asking => {}
        }
    }

    #[tokio::test]
    async fn who_is_hung_up_on_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let hanging_up = async {
            loop {
                drop(listener.accept().await.unwrap());
            }
        };
        tokio::select! {
            () = hanging_up => {}
            answer = ask(&path, Request::Status) => {
                assert!(matches!(answer, Err(LocalError::HungUp)), "{answer:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_link_in_the_way_of_the_socket_changes_no_foreign_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, foreign) = (dir.path().join("agent.sock"), dir.path().join("foreign"));
        fs::write(&foreign, "x").unwrap();
        fs::set_permissions(&foreign, fs::Permissions::from_mode(0o644)).unwrap();
        // Put there after the leftover was removed: binding must fail, and nothing be changed behind the link.
        symlink(&foreign, &path).unwrap();
        assert!(bind(&path).is_err());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&foreign), 0o644);
        fs::remove_file(&path).unwrap();
        let _listener = bind(&path).unwrap();
        // Already closed to others when it can be found first, whatever the umask.
        assert_eq!(mode(&path), 0o600);
    }
}
