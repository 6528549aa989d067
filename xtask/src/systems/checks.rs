//! The eight checks that every system's agent passes; what only one system has comes after them ([`access`]).

use super::access;
use super::bounded::{self, until};
use super::folder;
use super::guest::Guest;
use super::plane::{MODEL, Plane, Program, curl, free_port, native};
use crate::shell;
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const VECTORS: &str = "protocol/tests/data/receipts.jsonl";

/// An agent of another system in a place of its own.
pub(super) struct Bench {
    pub(super) guest: Guest,
    pub(super) folder: PathBuf,
    plane: Plane,
    proxy: u16,
    public_key: String,
    requests: Vec<String>,
    agent: Option<Program>,
}

pub(super) type Check = (&'static str, fn(&mut Bench) -> Result<String>);

/// In this order: each builds on those before it.
const CHECKS: [Check; 8] = [
    ("version", version),
    ("config check", config),
    ("vectors", vectors),
    ("doctor", doctor),
    ("enrol", enrol),
    ("run", run_agent),
    ("receipt", receipt),
    ("kill and recover", kill_and_recover),
];

/// Runs all of them.
pub(super) fn run(guest: Guest) -> Result<()> {
    let name = if guest.windows().is_some() {
        "wine"
    } else {
        "qemu"
    };
    // A folder with a space in its name: nothing may take it for two words.
    let place = folder().join(name).join("a place");
    if place.exists() {
        std::fs::remove_dir_all(&place)?;
    }
    std::fs::create_dir_all(&place)?;
    let mut bench = Bench {
        plane: Plane::start(&place)?,
        guest,
        folder: place,
        proxy: free_port()?,
        public_key: String::new(),
        requests: Vec::new(),
        agent: None,
    };
    bench.write_config()?;
    let checked = bench.check_all();
    let ended = bench.end();
    checked.and(ended)
}

impl Bench {
    fn check_all(&mut self) -> Result<()> {
        let own: &[Check] = match self.guest.windows() {
            Some(_) => &access::CHECKS,
            None => &[],
        };
        for (name, check) in CHECKS.iter().chain(own) {
            let began = Instant::now();
            let said = check(self).with_context(|| {
                format!(
                    "the check \"{name}\" failed; its files and logs are in {}",
                    self.folder.display()
                )
            })?;
            println!(
                "  ok  {:>5.1} s  {name}: {said}",
                began.elapsed().as_secs_f64()
            );
        }
        Ok(())
    }

    /// Leaves no process behind.
    pub(super) fn end(&mut self) -> Result<()> {
        if let Some(mut agent) = self.agent.take() {
            // It may have ended already.
            drop(self.guest.kill(&mut agent.0));
        }
        self.guest.end()
    }

    fn write_config(&self) -> Result<()> {
        let yaml = format!(
            "control_plane:\n  api: {}\nruntimes:\n  detect: false\n  endpoints:\n    - {}\nproxy:\n  listen: 127.0.0.1:{}\n",
            self.plane.url(),
            self.plane.runtime_url(),
            self.proxy
        );
        Ok(std::fs::write(self.folder.join("agent.yaml"), yaml)?)
    }

    /// A command of the agent with its own places.
    pub(super) fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = self.guest.agent();
        command
            .args(arguments)
            .env(
                "DGON_STATE_DIR",
                self.guest.path(&self.folder.join("state")),
            )
            .env(
                "DGON_CONFIG",
                self.guest.path(&self.folder.join("agent.yaml")),
            );
        command
    }

    fn start_agent(&mut self) -> Result<()> {
        let log = self.folder.join("agent.log");
        self.agent = Some(Program::start(&mut self.agent(&["run"]), &log)?);
        until("the agent with its runtime's model", || {
            let status = json_of(self.agent(&["status", "--json"]))?;
            let runtimes = status["runtimes"].as_array().map_or(&[][..], Vec::as_slice);
            let serves = runtimes.iter().any(|runtime| {
                runtime["models"]
                    .as_array()
                    .is_some_and(|models| !models.is_empty())
            });
            ensure!(serves, "it serves no model: {status}");
            Ok(())
        })
    }

    /// A streamed request through the agent's proxy, to its end; its id is in a header.
    fn request(&mut self) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", self.proxy);
        let body = json!({
            "model": MODEL, "stream": true, "messages": [{"role": "user", "content": "Say hello."}],
        });
        let head = self.folder.join("head");
        let answer = curl(
            &url,
            &["--dump-header", &head.display().to_string()],
            Some(&body),
        )?;
        let text = String::from_utf8_lossy(&answer);
        ensure!(
            text.trim_end().ends_with("data: [DONE]"),
            "the answer broke off: {text}"
        );
        let head = std::fs::read_to_string(head)?;
        let id = head
            .lines()
            .find_map(|line| line.strip_prefix("x-dgon-request-id: "));
        self.requests
            .push(id.context("the answer names no request")?.trim().to_owned());
        Ok(())
    }

    /// Waits until the control plane has the receipts of all requests, each once, and its numbers have no gap. It has
    /// more than those: the doctor and the control plane ask, too.
    fn stored(&self) -> Result<()> {
        until("the receipts", || {
            let receipts = self.plane.receipts()?;
            let numbers: Vec<u64> = receipts.iter().map(|(seq, _)| *seq).collect();
            let expected: Vec<u64> = (1..).take(numbers.len()).collect();
            ensure!(
                numbers == expected,
                "the control plane has the numbers {numbers:?}"
            );
            for wanted in &self.requests {
                let count = receipts.iter().filter(|(_, id)| id == wanted).count();
                ensure!(count == 1, "{wanted} has {count} receipts");
            }
            Ok(())
        })
    }
}

/// What a command printed as JSON, whatever it ended with.
pub(super) fn json_of(mut command: Command) -> Result<Value> {
    let output = bounded::output(&mut command)?;
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "no JSON ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )
    })
}

fn version(bench: &mut Bench) -> Result<String> {
    let said = bounded::success(&mut bench.agent(&["--version"]))?;
    let wanted = format!("dgon-agent {}", env!("CARGO_PKG_VERSION"));
    ensure!(said.starts_with(&wanted), "it says {said}");
    Ok(said.trim().to_owned())
}

fn config(bench: &mut Bench) -> Result<String> {
    bounded::success(&mut bench.agent(&["config", "check"]))?;
    let broken = bench.folder.join("broken.yaml");
    std::fs::write(&broken, "proxy:\n  listn: 127.0.0.1:1\n")?;
    let mut check = bench.agent(&["config", "check"]);
    check.env("DGON_CONFIG", bench.guest.path(&broken));
    let status = bounded::output(&mut check)?.status;
    ensure!(
        status.code() == Some(64),
        "a wrong key ended with {status}, not 64"
    );
    Ok("a good file passes, a wrong key is refused".to_owned())
}

/// One process for all receipts of a key.
fn vectors(bench: &mut Bench) -> Result<String> {
    let text = std::fs::read_to_string(shell::root().join(VECTORS))?;
    let folder = bench.folder.join("vectors");
    std::fs::create_dir_all(&folder)?;
    let mut of_key: BTreeMap<String, Vec<(PathBuf, Value)>> = BTreeMap::new();
    let mut count = 0;
    for line in text.lines() {
        let vector: Value = serde_json::from_str(line)?;
        let field = |name: &str| {
            vector[name]
                .as_str()
                .with_context(|| format!("a vector without {name}"))
        };
        let file = folder.join(format!("{count}.json"));
        std::fs::write(&file, STANDARD.decode(field("receipt_b64")?)?)?;
        let key = field("public_key")?.to_owned();
        of_key.entry(key).or_default().push((file, vector));
        count += 1;
    }
    ensure!(count >= 90, "the vector file is cut");
    for (key, vectors) in &of_key {
        let mut verify = bench.agent(&["receipt", "verify", "--json", "--public-key", key]);
        verify.args(vectors.iter().map(|(file, _)| bench.guest.path(file)));
        let said = match json_of(verify)? {
            Value::Array(all) => all,
            one => vec![one],
        };
        ensure!(
            said.len() == vectors.len(),
            "{} verdicts on {} receipts",
            said.len(),
            vectors.len()
        );
        for (said, (_, vector)) in said.iter().zip(vectors) {
            ensure!(
                said["verdict"] == vector["verdict"],
                "{}: {said}",
                vector["name"]
            );
            let hash = &vector["entry_sha256"];
            ensure!(
                hash.is_null() || said["entry_sha256"] == *hash,
                "{}: {said}",
                vector["name"]
            );
        }
    }
    Ok(format!("{count} receipts reach their verdicts"))
}

fn doctor(bench: &mut Bench) -> Result<String> {
    let report = diagnosis(bench)?;
    expect(&report, "identity.key", "fail")?;
    expect(&report, "network.connect", "ok")?;
    Ok(format!(
        "{} checks made, none broke",
        report["checks"].as_array().map_or(0, Vec::len)
    ))
}

/// The doctor's report; a check that is itself at fault is an error.
pub(super) fn diagnosis(bench: &Bench) -> Result<Value> {
    let report = json_of(bench.agent(&["doctor", "--json"]))?;
    let checks = report["checks"]
        .as_array()
        .context("a report without checks")?;
    for check in checks {
        let finding = check["finding"].as_str().unwrap_or_default();
        ensure!(!finding.contains("fault of this program"), "{check}");
    }
    Ok(report)
}

/// The check with this id.
pub(super) fn check<'a>(report: &'a Value, id: &str) -> Result<&'a Value> {
    let mut checks = report["checks"].as_array().into_iter().flatten();
    let check = checks.find(|check| check["id"] == id);
    check.with_context(|| format!("the doctor made no check {id}"))
}

/// Fails where a check has another outcome.
pub(super) fn expect(report: &Value, id: &str, outcome: &str) -> Result<()> {
    let check = check(report, id)?;
    ensure!(check["outcome"] == outcome, "it is not {outcome}: {check}");
    Ok(())
}

fn enrol(bench: &mut Bench) -> Result<String> {
    let token = bench.plane.token()?;
    let mut enrol = bench.agent(&["enroll", "--json"]);
    enrol.env("DGON_ENROL_TOKEN", token);
    let said = json_of(enrol)?;
    let key = said["public_key"]
        .as_str()
        .context("no public key was told")?;
    bench.public_key = key.to_owned();
    let report = diagnosis(bench)?;
    for id in [
        "identity.key",
        "identity.secret",
        "config.state_mode",
        "control_plane.credentials",
    ] {
        expect(&report, id, "ok")?;
    }
    Ok(format!("as {}", said["node_id"].as_str().unwrap_or("?")))
}

fn run_agent(bench: &mut Bench) -> Result<String> {
    bench.start_agent()?;
    for _ in 0..3 {
        bench.request()?;
    }
    let report = diagnosis(bench)?;
    for id in ["agent.running", "agent.link", "agent.serving"] {
        expect(&report, id, "ok")?;
    }
    Ok("it finds the runtime, its proxy streams, its local socket and its link stand".to_owned())
}

fn receipt(bench: &mut Bench) -> Result<String> {
    bench.stored()?;
    for request in &bench.requests {
        let file = bench.folder.join("receipt.json");
        std::fs::write(&file, bench.plane.get(&format!("/receipts/{request}/raw"))?)?;
        let mut verify = shell::command(native("dgon-agent"));
        verify.args([
            "receipt",
            "verify",
            "--json",
            "--public-key",
            &bench.public_key,
        ]);
        let said = json_of({
            verify.arg(&file);
            verify
        })?;
        ensure!(said["verdict"] == "valid", "{said}");
        ensure!(
            said["request_id"] == request.as_str(),
            "another receipt: {said}"
        );
    }
    Ok("three requests, three receipts, each verified by this machine's own agent".to_owned())
}

/// Waits until nobody listens on a port any more: only a refusal says so, as a process that hangs takes connections.
fn refused(port: u16) -> Result<()> {
    const WITHIN: Duration = Duration::from_secs(2);
    let address = (Ipv4Addr::LOCALHOST, port).into();
    until(
        "the end of the killed agent's proxy",
        || match TcpStream::connect_timeout(&address, WITHIN) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => bail!("it neither answers nor refuses: {error}"),
            Ok(_) => bail!("it still takes connections"),
        },
    )
}

/// What a client saw end has its receipt, also where the agent was killed before anybody else had it.
fn kill_and_recover(bench: &mut Bench) -> Result<String> {
    bench.plane.kill();
    for _ in 0..3 {
        bench.request()?;
    }
    let Some(mut agent) = bench.agent.take() else {
        bail!("the agent does not run");
    };
    bench.guest.kill(&mut agent.0)?;
    refused(bench.proxy)?;
    bench.start_agent()?;
    for _ in 0..2 {
        bench.request()?;
    }
    bench.plane.resume()?;
    bench.stored()?;
    Ok("killed with three receipts that nobody else had; none is lost, none is doubled".to_owned())
}
