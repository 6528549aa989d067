//! Two hundred megabytes in one chunk, one line or one body: the memory of the agent's process stays bounded.
#![cfg(target_os = "linux")]

use super::agent::agent;
use super::agent::machine::Machine;
use super::support::soon;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a monstrous answer weighs.
const WEIGHT: usize = 200 << 20;
/// How much more memory than at rest the agent may ever take while it passes them.
const MORE_KIB: u64 = 48 * 1024;
const PIECE: usize = 256 * 1024;

/// A runtime whose answers are monstrous; the path and the model say in which way.
async fn beast() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    addr
}

async fn serve(mut stream: TcpStream) {
    let mut request = Vec::new();
    loop {
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let text = String::from_utf8_lossy(&request).into_owned();
        if text.starts_with("GET ") {
            request.drain(..end + 4);
            let body = match text.split(' ').nth(1).unwrap() {
                "/v1/models" => r#"{"data":[{"id":"m","owned_by":"vllm"}]}"#,
                _ => "{}",
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        if !text.contains("\"end\"") {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        }
        // The client leaves or has it all; either way this connection is over.
        let _ = roar(&mut stream, &text).await;
        return;
    }
}

async fn roar(stream: &mut TcpStream, request: &str) -> std::io::Result<()> {
    let piece = vec![b'x'; PIECE];
    let sse =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    if request.contains("one chunk") {
        stream
            .write_all(format!("{sse}{:x}\r\n", WEIGHT).as_bytes())
            .await?;
        for _ in 0..WEIGHT / PIECE {
            stream.write_all(&piece).await?;
        }
        stream.write_all(b"\r\n0\r\n\r\n").await
    } else if request.contains("one line") {
        let head = format!("{sse}6\r\ndata: \r\n");
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..WEIGHT / PIECE {
            stream
                .write_all(format!("{:x}\r\n", PIECE).as_bytes())
                .await?;
            stream.write_all(&piece).await?;
            stream.write_all(b"\r\n").await?;
        }
        stream.write_all(b"2\r\n\n\n\r\n0\r\n\r\n").await
    } else {
        let (open, close) = ("{\"choices\":[{\"text\":\"", "\"}]}");
        let length = open.len() + WEIGHT + close.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{open}"
        );
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..WEIGHT / PIECE {
            stream.write_all(&piece).await?;
        }
        stream.write_all(close.as_bytes()).await
    }
}

/// A running agent that is killed when the test ends.
struct Running {
    machine: Machine,
    child: Child,
    addr: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Running {
    fn start(runtime: SocketAddr) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let mut machine = Machine::enrolled("http://127.0.0.1:9");
        machine.set("DGON_PROXY_LISTEN", addr.to_string());
        machine.set("DGON_RUNTIMES_ENDPOINTS", format!("http://{runtime}"));
        let child = agent(machine.dir.path(), &["run"])
            .envs(machine.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            machine,
            child,
            addr,
        }
    }

    /// What the agent says of itself; nothing while it starts.
    fn status(&self) -> serde_json::Value {
        let output = agent(self.machine.dir.path(), &["status", "--json"])
            .envs(self.machine.environment.iter().cloned())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    async fn until(&self, is_so: impl Fn(&serde_json::Value) -> bool) {
        let wait = async {
            while !is_so(&self.status()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .expect("the agent does not get there");
    }

    /// A line of `/proc/PID/status`, KiB.
    fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.unwrap().trim_start_matches(':').trim();
        number.trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends a request and counts what comes back.
    async fn swallow(&self, request: &[u8]) -> usize {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let (mut read, mut write) = stream.split();
        let mut piece = vec![0; PIECE];
        let mut bytes = 0;
        let send = async {
            // A refusal may come before all is sent.
            let _ = write.write_all(request).await;
        };
        let receive = async {
            loop {
                match read.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => bytes += count,
                }
            }
        };
        tokio::join!(send, receive);
        bytes
    }
}

fn post(model: &str, length: usize) -> String {
    format!(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{model}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn monstrous_answers_do_not_grow_the_agent() {
    let runtime = beast().await;
    let running = Running::start(runtime);
    let serves = |status: &serde_json::Value| !status["runtimes"][0]["models"][0].is_null();
    running.until(serves).await;
    let at_rest = running.memory("VmRSS");
    let ways = ["one chunk", "one line", "one body"];
    for way in ways {
        for usage in ["", r#","stream_options":{"include_usage":true}"#] {
            let body = format!(
                "{{\"model\":\"m\",\"prompt\":\"{way}\",\"stream\":true{usage},\"z\":\"end\"}}"
            );
            let request = post(&body, body.len());
            let bytes = tokio::time::timeout(
                Duration::from_secs(120),
                running.swallow(request.as_bytes()),
            )
            .await
            .expect("it passes");
            assert!(bytes > WEIGHT, "{way}: {bytes} bytes came");
            let peak = running.memory("VmHWM");
            assert!(
                peak < at_rest + MORE_KIB,
                "{way}: {at_rest} KiB at rest, {peak} KiB at most"
            );
        }
    }
    let receipts = (ways.len() * 2) as u64;
    soon(running.until(|status| {
        status["spool"]["last_seq"].as_u64() == Some(receipts)
            && status["in_flight"].as_u64() == Some(0)
    }))
    .await;

    // A body one byte over the largest is refused, and costs nothing: its length says it all.
    let largest = 64 << 20;
    let mut request = post("", largest + 1).into_bytes();
    request.resize(request.len() + largest + 1, b' ');
    let bytes = running.swallow(&request).await;
    assert!(bytes > 0 && bytes < 4096, "{bytes} bytes came");
    let peak = running.memory("VmHWM");
    assert!(
        peak < at_rest + MORE_KIB,
        "{at_rest} KiB at rest, {peak} KiB at most"
    );
    // It asked nothing of a runtime.
    soon(running.until(|status| status["spool"]["last_seq"].as_u64() == Some(receipts))).await;
}
