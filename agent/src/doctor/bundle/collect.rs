//! The files of the archive.

use super::Collected;
use crate::cli::VERSION;
use crate::config::Config;
use crate::doctor::subject::Asked;
use crate::doctor::{Report, Subject};
use crate::gpu::{Detector, GpuAccess};
use crate::host;
use crate::runtime::{FoundRuntime, discover};
use crate::service::{self, Level};
use crate::spool::DeadLetters;
use dgon_agent_core::error::chain;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::timeout;

/// How long drivers and runtimes may take.
const LOOK: Duration = Duration::from_secs(4);
/// Most file names of the spool that are listed.
const NAMES: usize = 1_000;
/// Refusals that are told.
const LETTERS: usize = 20;

/// Most of a log that is collected, bytes.
const LOG_BYTES: u64 = 256 * 1024;
const JOURNAL_LINES: &str = "1000";

/// What was not collected, and why.
type Absent = BTreeMap<&'static str, String>;

/// Everything that there is.
pub(super) async fn all(subject: &Subject, report: &Report) -> (Vec<Collected>, Absent) {
    let mut absent = Absent::new();
    let mut files = vec![
        file("doctor.json", "what `dgon-agent doctor` found", report),
        file(
            "versions.json",
            "versions of the agent and the system",
            &versions(),
        ),
        file(
            "spool.json",
            "names and sizes of the spool's files, and why receipts were refused",
            &spool(subject),
        ),
        file(
            "inventory.json",
            "GPUs, runtimes and models",
            &inventory(subject).await,
        ),
    ];
    match &subject.config {
        Ok(loaded) => {
            let origins: BTreeMap<&String, String> = loaded
                .origins
                .iter()
                .map(|(key, origin)| (key, origin.to_string()))
                .collect();
            let values = json!({"config": loaded.config, "origins": origins});
            files.push(file(
                "config.json",
                "the values in force and where each comes from",
                &values,
            ));
        }
        Err(error) => {
            absent.insert("config.json", chain(error));
        }
    }
    match log_tail(subject).await {
        Ok(text) => files.push(Collected {
            name: "log.txt",
            what: "the end of the agent's log",
            text,
        }),
        Err(why) => {
            absent.insert("log.txt", why);
        }
    }
    match subject.asked().await.as_ref() {
        Asked::Runs(status) => {
            files.push(file(
                "status.json",
                "what the running agent says of itself",
                status,
            ));
        }
        other => {
            absent.insert(
                "status.json",
                format!("the agent was not asked ({other:?})"),
            );
        }
    }
    (files, absent)
}

fn file<T: Serialize>(name: &'static str, what: &'static str, value: &T) -> Collected {
    Collected {
        name,
        what,
        // Our own types always serialise.
        text: serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

fn versions() -> Value {
    json!({
        "agent": VERSION,
        "os": host::os(),
        "arch": host::arch(),
        "host": host::survey(),
    })
}

fn spool(subject: &Subject) -> Value {
    let state = &subject.paths.state;
    let letters = DeadLetters::in_dir(state.path());
    let refused: Vec<Value> = letters
        .newest(LETTERS)
        .unwrap_or_default()
        .into_iter()
        .map(|letter| {
            json!({"refused_s": letter.refused_s, "seq": letter.seq, "type": letter.refusal.kind, "message": letter.refusal.message})
        })
        .collect();
    json!({
        "state": sizes(state.path()),
        "spool": sizes(&state.spool_dir()),
        "dead_letters": letters.count(),
        "refused": refused,
    })
}

/// Names and sizes of the files of a folder.
fn sizes(folder: &Path) -> BTreeMap<String, u64> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .take(NAMES)
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Some((name, entry.metadata().ok()?.len()))
        })
        .collect()
}

/// The end of the log file, else of what the system's journal has of the service.
async fn log_tail(subject: &Subject) -> Result<String, String> {
    let file = subject.values().and_then(|config| config.log.file.clone());
    let reading = tokio::task::spawn_blocking(move || match file {
        Some(file) => file_tail(&file).map_err(|error| format!("{}: {error}", file.display())),
        None => journal_tail(),
    });
    match timeout(LOOK, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) | Err(_) => Err("the log cannot be read in time".to_owned()),
    }
}

fn file_tail(file: &Path) -> io::Result<String> {
    let mut log = std::fs::File::open(file)?;
    let bytes = log.metadata()?.len();
    let skipped = bytes.saturating_sub(LOG_BYTES);
    log.seek(SeekFrom::Start(skipped))?;
    let mut tail = Vec::new();
    log.take(LOG_BYTES).read_to_end(&mut tail)?;
    let text = String::from_utf8_lossy(&tail);
    // Half a line may be half a secret that nobody knows any more.
    let whole = if skipped == 0 {
        text.as_ref()
    } else {
        text.split_once('\n').map_or("", |(_, rest)| rest)
    };
    Ok(whole.to_owned())
}

fn journal_tail() -> Result<String, String> {
    let level = match service::inspect_any() {
        Ok(state) if state.installed.is_some() => state.level,
        Ok(_) => return Err("no log file is configured, and no service is installed".to_owned()),
        Err(error) => return Err(chain(&error)),
    };
    let mut journal = Command::new("journalctl");
    if level == Level::User {
        journal.arg("--user");
    }
    let said = journal
        .args(["--unit", service::NAME, "--lines", JOURNAL_LINES])
        .args(["--no-pager", "--quiet", "--output", "short-iso"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("the journal cannot be read: {error}"))?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

async fn inventory(subject: &Subject) -> Value {
    let reads = |config: &Config| config.telemetry.read_gpus;
    let gpus = GpuAccess::new(subject.values().is_none_or(reads));
    if let Asked::Runs(status) = subject.asked().await.as_ref()
        && status.gpus_not_read.is_some_and(|why| why.is_wanted())
    {
        gpus.release(None);
    }
    let surveying = tokio::task::spawn_blocking(move || Detector::with_access(gpus).survey());
    let runtimes = async {
        match subject.values() {
            Some(config) => match crate::run::registry_settings(config, subject.api().as_ref()) {
                Ok(settings) => discover(&settings).await,
                Err(_) => Vec::new(),
            },
            None => Vec::new(),
        }
    };
    let (gpus, runtimes) = tokio::join!(timeout(LOOK, surveying), timeout(LOOK, runtimes));
    let gpus = match gpus {
        Ok(Ok(survey)) => serde_json::to_value(survey).unwrap_or_default(),
        Ok(Err(_)) | Err(_) => Value::from("the driver does not answer"),
    };
    let runtimes: Vec<Value> = runtimes.unwrap_or_default().iter().map(runtime).collect();
    json!({"gpus": gpus, "runtimes": runtimes})
}

fn runtime(found: &FoundRuntime) -> Value {
    json!({
        "endpoint": found.endpoint.to_string(),
        "readiness": format!("{:?}", found.readiness),
        "running": found.running,
        "queue": found.queue,
        "runtime": found.to_wire(),
    })
}
