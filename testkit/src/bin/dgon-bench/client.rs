//! A client of streamed answers that costs little itself: one kept-alive connection, bytes as they come.

use crate::programs::MODEL;
use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Room for an answer, bytes.
const ROOM: usize = 256 * 1024;

/// One kept-alive HTTP/1.1 connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
pub(crate) struct Answer<'a> {
    /// From the request to the first event.
    pub(crate) first: Duration,
    raw: &'a [u8],
}

/// A chat request. `usage` says whether the client itself asks for the usage event.
pub(crate) fn question(text: &str, tokens: u32, usage: bool) -> Vec<u8> {
    let usage = if usage {
        r#""stream_options":{"include_usage":true},"#
    } else {
        ""
    };
    let body = format!(
        r#"{{"model":"{MODEL}","stream":true,{usage}"max_tokens":{tokens},"messages":[{{"role":"user","content":"{text}"}}]}}"#
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; ROOM],
        })
    }

    /// Asks, and reads the answer to its end.
    pub(crate) async fn ask(&mut self, question: &[u8]) -> Result<Answer<'_>> {
        let start = Instant::now();
        self.stream.write_all(question).await?;
        let (mut filled, mut first) = (0, None);
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            filled += read;
            let seen = &self.buffer[..filled];
            let shown = || String::from_utf8_lossy(seen).into_owned();
            if read == 0 {
                bail!("the connection was closed in an answer: {}", shown());
            }
            if filled >= 12 && !seen.starts_with(b"HTTP/1.1 200") {
                bail!("refused: {}", shown());
            }
            if first.is_none() && seen.windows(5).any(|bytes| bytes == b"data:") {
                first = Some(start.elapsed());
            }
            if seen.ends_with(b"\r\n0\r\n\r\n") {
                let first = first.with_context(|| format!("no event: {}", shown()))?;
                return Ok(Answer {
                    first,
                    raw: &self.buffer[..filled],
                });
            }
        }
    }
}

impl Answer<'_> {
    /// The body without its chunking.
    pub(crate) fn body(&self) -> Result<Vec<u8>> {
        let head = find(self.raw, b"\r\n\r\n").context("an answer has a head")?;
        let mut rest = &self.raw[head + 4..];
        let mut body = Vec::with_capacity(rest.len());
        loop {
            let line = find(rest, b"\r\n").context("a chunk has a size")?;
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line])?, 16)?;
            if size == 0 {
                return Ok(body);
            }
            let data = rest.get(line + 2..line + 2 + size);
            body.extend_from_slice(data.context("a chunk is as long as it says")?);
            rest = &rest[line + 2 + size + 2..];
        }
    }
}

/// Where `needle` begins in `text`.
pub(crate) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|part| part == needle)
}

/// Waits until the agent has found the runtime.
pub(crate) async fn wait_for_runtime(proxy: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let question = question("hi", 2, true);
    loop {
        let mut client = Client::connect(proxy).await?;
        let answer = client.ask(&question).await.map(drop);
        if answer.is_ok() || Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
