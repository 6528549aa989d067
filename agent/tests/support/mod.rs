//! What the tests of the binary share: running it in a directory of its own, and a control plane that answers
//! as a test says.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "every test binary uses its own part")]

#[cfg(unix)]
pub(crate) mod between;
pub(crate) mod machine;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

/// The binary with a state directory below `dir` and an environment that names nothing else.
pub(crate) fn agent(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dgon-agent"));
    command
        .env_clear()
        .env("DGON_STATE_DIR", dir.join("state"))
        .current_dir(dir)
        .args(arguments);
    command
}

/// Its output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Its errors as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Its output as JSON.
pub(crate) fn json(output: &Output) -> serde_json::Value {
    match serde_json::from_slice(&output.stdout) {
        Ok(value) => value,
        Err(error) => panic!("no JSON ({error}); the errors were: {}", stderr(output)),
    }
}

/// One request that the stand-in got.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method and path.
    pub(crate) line: String,
    /// Headers, names in lower case.
    pub(crate) headers: HashMap<String, String>,
    /// Body.
    pub(crate) body: Vec<u8>,
}

type Handler = dyn Fn(&Request) -> (u16, String) + Send + Sync;

/// A control plane that answers as a closure says, over real sockets.
pub(crate) struct StandIn {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Seconds by which its `Date` header is off.
    pub(crate) clock_offset_s: Arc<Mutex<i64>>,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl StandIn {
    /// Starts it; it lives as long as the test's process.
    pub(crate) fn start(
        handler: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let clock_offset_s = Arc::new(Mutex::new(0));
        let (log, offset, handler) = (seen.clone(), clock_offset_s.clone(), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, offset, handler) = (log.clone(), offset.clone(), handler.clone());
                std::thread::spawn(move || serve(&stream, &log, &offset, handler.as_ref()));
            }
        });
        Self {
            address,
            clock_offset_s,
            seen,
        }
    }

    /// Its base address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it got so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    stream: &TcpStream,
    log: &Mutex<Vec<Request>>,
    offset: &Mutex<i64>,
    handler: &Handler,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let request = read(&mut reader)?;
        log.lock().unwrap().push(request.clone());
        let (status, body) = handler(&request);
        let offset_s = *offset.lock().unwrap();
        let now = std::time::SystemTime::now();
        let date = if offset_s < 0 {
            now - std::time::Duration::from_secs(offset_s.unsigned_abs())
        } else {
            now + std::time::Duration::from_secs(offset_s.unsigned_abs())
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ndate: {}\r\ncontent-length: {}\r\n\r\n",
            httpdate::fmt_http_date(date),
            body.len()
        );
        let mut writer = stream;
        writer.write_all(head.as_bytes()).ok()?;
        writer.write_all(body.as_bytes()).ok()?;
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = line
        .rsplit_once(' ')
        .map_or(line.as_str(), |(line, _)| line);
    Some(Request {
        line: line.to_owned(),
        headers,
        body,
    })
}
