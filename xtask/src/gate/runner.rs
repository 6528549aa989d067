//! Runs stages one after the other, and the tracks of a stage beside each other.

use super::stages::{self, Stage, Track};
use super::{SKIPPED, SKIPPED_CODE, Step};
use crate::shell;
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, PipeReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long the output of a step that has ended may take to be read. Something that outlived it may hold it open.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(5);

/// How many lines of a failed step are said again at the end: a browser test tells its failure in about thirty.
const LAST_LINES: usize = 40;

/// How a step went.
struct Ended {
    name: &'static str,
    wall: Duration,
    /// Seconds of processor time, as the step's own last line says.
    processor: Option<String>,
    skipped: Vec<String>,
    outcome: Result<()>,
}

/// Runs the stages; with `all` the slow ones too, with `only` the steps of both whose name contains it.
pub(super) fn run(only: Option<&str>, all: bool) -> Result<()> {
    let wanted = |step: &&Step| only.is_none_or(|only| step.name.contains(only));
    let slow: &[Stage] = if all || only.is_some() {
        stages::SLOW
    } else {
        &[]
    };
    let began = Instant::now();
    let stop = AtomicBool::new(false);
    let mut ended: Vec<Ended> = Vec::new();
    for stage in stages::QUICK.iter().chain(slow) {
        let tracks: Vec<Vec<&'static Step>> = stage
            .iter()
            .map(|track: &Track| track.iter().copied().filter(wanted).collect())
            .filter(|track: &Vec<_>| !track.is_empty())
            .collect();
        std::thread::scope(|scope| {
            let running: Vec<_> = tracks
                .iter()
                .map(|track| scope.spawn(|| run_track(track, &stop)))
                .collect();
            for track in running {
                match track.join() {
                    Ok(steps) => ended.extend(steps),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    if ended.is_empty() {
        bail!(
            "no step is called {:?}; `cargo xtask ci --list` names them",
            only.unwrap_or_default()
        );
    }
    report(&ended, began.elapsed(), all)
}

/// Runs steps in order until one fails here or beside.
fn run_track(track: &[&'static Step], stop: &AtomicBool) -> Vec<Ended> {
    let mut ended = Vec::new();
    for step in track {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let one = run_step(step);
        if one.outcome.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        ended.push(one);
    }
    ended
}

fn run_step(step: &'static Step) -> Ended {
    println!("\n=== {}", step.name);
    let start = Instant::now();
    let mut lines = Vec::new();
    let outcome = start_step(step).and_then(|(child, reader)| {
        let (status, said) = follow(step.name, child, reader)?;
        lines = said;
        match status.code() {
            Some(0) => Ok(()),
            Some(code) if code == i32::from(SKIPPED_CODE) => Ok(()),
            _ => bail!(
                "the step \"{0}\" failed ({status}); run it alone with: cargo xtask ci --only \"{0}\"; its last lines were:\n{1}",
                step.name,
                end_of(&lines)
            ),
        }
    });
    let with = |prefix: &str| {
        let found = lines.iter().filter_map(|line| line.strip_prefix(prefix));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    let wall = start.elapsed();
    let verdict = if outcome.is_ok() { "done" } else { "FAILED" };
    println!(
        "=== {}: {verdict} after {:.0} s",
        step.name,
        wall.as_secs_f64()
    );
    Ended {
        name: step.name,
        wall,
        processor: with(PROCESSOR).pop(),
        skipped: with(SKIPPED),
        outcome,
    }
}

/// The last lines of what a step said, by which it tells what failed: beside it others went on, and what they said came after.
fn end_of(lines: &[String]) -> String {
    let said = lines.iter().filter(|line| !line.trim().is_empty());
    let said: Vec<&str> = said.map(String::as_str).collect();
    said[said.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// This very program. Building everything may replace its file with another build of it, and Linux still has this one.
fn own_program() -> std::io::Result<std::path::PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe()
}

/// Starts the step as a process whose output is one stream.
fn start_step(step: &Step) -> Result<(Child, PipeReader)> {
    let (reader, writer) = std::io::pipe().context("a pipe cannot be made")?;
    let own = own_program().context("this program has no path")?;
    let mut command = shell::command(own);
    // What would speed up the next build of a person costs time and room where nothing is built twice.
    if std::env::var_os("CI").is_some() && std::env::var_os("CARGO_INCREMENTAL").is_none() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    let child = command
        .args(["step", step.name])
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .context("the step cannot be started")?;
    Ok((child, reader))
}

/// Prints and logs what a step says until it ends; every line of it.
fn follow(
    name: &'static str,
    mut child: Child,
    reader: PipeReader,
) -> Result<(ExitStatus, Vec<String>)> {
    let path = log_file(name)?;
    let mut log = std::fs::File::create(&path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line)
                .trim_end_matches('\r')
                .to_owned();
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let (done, ended) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let status = child.wait();
        let _ = done.send(());
        status
    });
    let mut said = Vec::new();
    let mut give_up: Option<Instant> = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                let _ = writeln!(log, "{line}");
                println!("[{name}] {line}");
                said.push(line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if give_up.is_none() && ended.try_recv().is_ok() {
            give_up = Some(Instant::now() + OUTPUT_PATIENCE);
        }
        if give_up.is_some_and(|end| Instant::now() > end) {
            println!("[{name}] something that outlived the step holds its output open");
            break;
        }
    }
    let status = waiter
        .join()
        .map_err(|_| anyhow::anyhow!("the step was lost"))??;
    Ok((status, said))
}

fn log_file(name: &str) -> Result<PathBuf> {
    let folder = shell::target_dir().join("gate");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder.join(format!("{}.log", name.replace(' ', "-"))))
}

/// How the line begins that says what processor time a step took.
const PROCESSOR: &str = "processor time: ";

/// Tells what processor time this process and all that it waited for took.
pub(super) fn tell_processor_time() {
    #[cfg(target_os = "linux")]
    if let Some(seconds) = processor_seconds() {
        println!("{PROCESSOR}{seconds:.0} s");
    }
}

/// User and system time of this process and its children, from `/proc/self/stat`.
#[cfg(target_os = "linux")]
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Fields count from the state, which follows the name in parentheses: utime, stime, cutime, cstime.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let ticks: f64 = fields
        .get(11..15)?
        .iter()
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

fn report(ended: &[Ended], wall: Duration, all: bool) -> Result<()> {
    println!("\n=== steps");
    for step in ended {
        let processor = step.processor.as_deref().unwrap_or("-");
        let verdict = if step.outcome.is_ok() { "" } else { "  FAILED" };
        println!(
            "{:>7.1} s, processor {processor:>7}  {}{verdict}",
            step.wall.as_secs_f64(),
            step.name
        );
    }
    println!("{:>7.1} s  all of it", wall.as_secs_f64());
    for step in ended {
        for why in &step.skipped {
            println!("{SKIPPED}in \"{}\": {why}", step.name);
        }
    }
    if !all {
        let names: Vec<&str> = stages::slow().map(|step| step.name).collect();
        println!(
            "not part of `make test`, but of `make test-all`: {}",
            names.join(", ")
        );
    }
    let failed: Vec<String> = ended
        .iter()
        .filter_map(|step| Some(format!("{:#}", step.outcome.as_ref().err()?)))
        .collect();
    let skipped = ended.iter().map(|step| step.skipped.len()).sum::<usize>();
    println!(
        "\n{} steps passed, {skipped} checks skipped, {} steps failed",
        ended.len() - failed.len(),
        failed.len()
    );
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{}", failed.join("\n"))
}
