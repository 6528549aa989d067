//! First byte of a streamed answer: through the agent's proxy against directly from the runtime.
//!
//! Both ways are asked in turns over kept-alive connections, so that noise hits both alike.

use crate::programs::Place;
use crate::report::{Report, Row, quantile};
use anyhow::{Result, bail};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const REQUESTS: usize = 1500;
const WARM_UP: usize = 100;

/// One kept-alive HTTP/1.1 connection that asks for a short stream.
struct Asker {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Asker {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let body = r#"{"model":"llama3.1:8b","stream":true,"stream_options":{"include_usage":true},"max_tokens":4,"messages":[{"role":"user","content":"hi"}]}"#;
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self {
            stream,
            request: request.into_bytes(),
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Time from the request to the first event of its answer; reads the answer to its end.
    async fn ask(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.stream.write_all(&self.request).await?;
        let (mut filled, mut first) = (0, None);
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                bail!(
                    "the connection was closed in an answer: {}",
                    String::from_utf8_lossy(&self.buffer[..filled])
                );
            }
            filled += read;
            let seen = &self.buffer[..filled];
            if filled >= 12 && !seen.starts_with(b"HTTP/1.1 200") {
                bail!("refused: {}", String::from_utf8_lossy(seen));
            }
            if first.is_none() && seen.windows(5).any(|bytes| bytes == b"data:") {
                first = Some(start.elapsed());
            }
            if seen.ends_with(b"0\r\n\r\n") {
                return first.ok_or_else(|| {
                    anyhow::anyhow!(
                        "an answer without an event: {}",
                        String::from_utf8_lossy(seen)
                    )
                });
            }
        }
    }
}

/// Waits until the agent has found the runtime.
async fn found(proxy: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = Asker::connect(proxy).await?.ask().await;
        if answer.is_ok() || Instant::now() > deadline {
            return answer.map(drop);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Measures the proxy with one connection.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let place = Place::new(bin)?;
    let runtime = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let port = runtime.port().to_string();
    let fast = [
        "runtime",
        "--kind",
        "ollama",
        "--model",
        "llama3.1:8b",
        "--port",
        &port,
        "--tokens-per-second",
        "100000",
        "--ttft-ms",
        "0",
    ];
    let _runtime = place.start("dgon-sim", &fast, &[], runtime)?;
    let _control_plane = place.control_plane()?;
    let token = place.token(1)?;
    place.output(
        "dgon-agent",
        &["enroll", "--api", &format!("http://{}", place.api)],
        &[("DGON_ENROL_TOKEN", &token)],
    )?;
    let endpoint = format!("http://{runtime}");
    let only_this = [
        ("DGON_RUNTIMES_DETECT", "false"),
        ("DGON_RUNTIMES_ENDPOINTS", endpoint.as_str()),
    ];
    let agent = place.start("dgon-agent", &["run"], &only_this, place.proxy)?;
    found(place.proxy).await?;

    let (mut direct, mut proxied) = (
        Asker::connect(runtime).await?,
        Asker::connect(place.proxy).await?,
    );
    let (mut straight, mut through) = (Vec::new(), Vec::new());
    for i in 0..REQUESTS + WARM_UP {
        let (a, b) = (direct.ask().await?, proxied.ask().await?);
        if i >= WARM_UP {
            straight.push(a.as_secs_f64() * 1e3);
            through.push(b.as_secs_f64() * 1e3);
        }
    }
    straight.sort_by(f64::total_cmp);
    through.sort_by(f64::total_cmp);
    for (share, goal) in [(0.5, 0.3), (0.99, 1.0)] {
        let (a, b) = (quantile(&straight, share), quantile(&through, share));
        report.add(Row {
            what: format!("proxy, first byte, p{:.0}", share * 100.0),
            floor: format!("direct {a:.3} ms"),
            ours: format!("{b:.3} ms"),
            result: format!("+{:.3} ms", b - a),
            goal: format!("≤ {goal} ms added"),
            reached: b - a <= goal,
        });
    }
    if let Some(mib) = agent.resident_mib() {
        report.note(format!(
            "agent resident after {} requests: {mib:.1} MiB",
            REQUESTS + WARM_UP
        ));
    }
    Ok(())
}
