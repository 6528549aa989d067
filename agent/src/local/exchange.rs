//! One exchange over any stream: a request and an answer, each a line of JSON, both of bounded length.

use super::{Answer, LocalError, Request, Responder};
use std::io;
use std::time::Duration;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::time::timeout;

/// Connections served at once; others wait for their turn.
pub(super) const CONNECTIONS: usize = 8;
/// How long one exchange may take.
pub(super) const WITHIN: Duration = Duration::from_secs(10);
/// How long the request may take to come: it is one line that is written at once. Whoever says nothing must not hold a
/// place so long that the agent seems to be frozen to those who wait.
const REQUEST_WITHIN: Duration = Duration::from_millis(500);
/// Longest request line.
const REQUEST_BYTES: u64 = 4 * 1024;
/// Longest answer line.
const ANSWER_BYTES: u64 = 4 * 1024 * 1024;

/// Reads a request and answers it; who may not ask gets a refusal.
pub(super) async fn answer(
    read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    may_ask: bool,
    responder: &dyn Responder,
) -> io::Result<()> {
    let mut line = String::new();
    let mut read = BufReader::new(read.take(REQUEST_BYTES));
    let came = timeout(REQUEST_WITHIN, read.read_line(&mut line)).await;
    let is_late = came.map(|read| read.map(drop)).is_err();
    let answer = match serde_json::from_str(&line) {
        _ if is_late => Answer::Refused {
            message: "no request came within 0.5 s; ask again".to_owned(),
        },
        Ok(_) if !may_ask => Answer::Refused {
            message: "only the user who runs the agent, and root, may ask it".to_owned(),
        },
        Ok(request) => responder.answer(request).await,
        Err(error) => Answer::Refused {
            message: format!("not a request of this version: {error}"),
        },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    write.shutdown().await
}

/// What the line that came back says; `failed` names what went wrong where none came.
pub(super) fn read(
    line: io::Result<String>,
    failed: impl FnOnce(io::Error) -> LocalError,
) -> Result<Answer, LocalError> {
    match line {
        Ok(line) if line.is_empty() => Err(LocalError::HungUp),
        Ok(line) => serde_json::from_str(&line).map_err(|_| LocalError::Answer),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => LocalError::HungUp,
            _ => failed(error),
        }),
    }
}

/// Sends a request and reads the line that comes back.
pub(super) async fn ask(
    read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    request: &Request,
) -> io::Result<String> {
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    write.write_all(&text).await?;
    let mut line = String::new();
    BufReader::new(read.take(ANSWER_BYTES))
        .read_line(&mut line)
        .await?;
    Ok(line)
}
