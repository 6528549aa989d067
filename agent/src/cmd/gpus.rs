//! `gpus`: the cards of this machine, their load, and what is wrong. Works without a running agent. `gpus release` and
//! `gpus resume` are orders to a running one.

use super::print::{self, or_dash};
use super::{Context, small_runtime};
use crate::cli::{Gpus, GpusCommand};
use crate::config::Overrides;
use crate::gpu::{self, Card, Finding, Severity, Survey};
use crate::host;
use crate::local::{self, Answer, LocalError, Request};
use anyhow::{Result, bail};
use dgon_protocol::frame::GpusNotRead;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// How long drivers may take; one that first starts its cards needs some seconds.
const WITHIN: Duration = Duration::from_secs(5);

pub(super) fn run(context: impl FnOnce() -> Result<Context>, arguments: Gpus) -> Result<ExitCode> {
    match arguments.command {
        None => list(not_read(context), arguments.json),
        Some(GpusCommand::Release { for_s, json }) => {
            let context = context()?;
            let told = gpu::why_not_read(GpusNotRead::Released);
            order(&context, Request::ReleaseGpus { for_s }, &told, json)
        }
        Some(GpusCommand::Resume(output)) => {
            let told = "the agent reads the GPUs again";
            order(&context()?, Request::ReadGpus, told, output.json)
        }
    }
}

/// Why the owner does not want the GPUs read now. A configuration that cannot be used, or an agent that cannot be
/// asked, says nothing against it: whoever runs this command asks for the GPUs.
fn not_read(context: impl FnOnce() -> Result<Context>) -> Option<GpusNotRead> {
    let context = context().ok()?;
    let config = context.load_config(Overrides::default()).ok();
    if config.is_some_and(|loaded| !loaded.config.telemetry.read_gpus) {
        return Some(GpusNotRead::Off);
    }
    let socket = context.paths.state.socket();
    match small_runtime()
        .ok()?
        .block_on(local::ask(&socket, Request::Status))
    {
        Ok(Answer::Status(status)) => status.gpus_not_read.filter(|why| why.is_wanted()),
        Ok(_) | Err(_) => None,
    }
}

fn list(not_read: Option<GpusNotRead>, json: bool) -> Result<ExitCode> {
    let survey = match not_read {
        Some(_) => Survey::default(),
        None => gpu::survey_within(WITHIN),
    };
    if json {
        print::json(&json!({
            "backend": not_read.map_or_else(|| Some(survey.backend()), |_| None),
            "not_read": not_read,
            "cards": survey.cards,
            "findings": survey.all_findings(),
            "host": host::survey(),
        }))?;
    } else if let Some(reason) = not_read {
        print::out(&format!("{}\n", gpu::why_not_read(reason)))?;
    } else {
        print::out(&text(&survey))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells the running agent what to do with the GPUs.
fn order(context: &Context, request: Request, told: &str, json: bool) -> Result<ExitCode> {
    context.quiet_log();
    let socket = context.paths.state.socket();
    match small_runtime()?.block_on(local::ask(&socket, request))? {
        Answer::Done if json => print::json(&json!({"done": true}))?,
        Answer::Done => print::out(&format!("{told}\n"))?,
        Answer::Refused { message } => bail!(message),
        Answer::KeyRotated(_) | Answer::Owner(_) | Answer::Stopping(_) | Answer::Status(_) => {
            return Err(LocalError::Answer.into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(survey: &Survey) -> String {
    let mut text = if survey.cards.is_empty() {
        cpu_only()
    } else {
        let head = [
            "GPU", "NAME", "MEMORY", "USED", "LOAD", "TEMP", "POWER", "STATE", "DRIVER", "CUDA",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(survey.cards.iter().map(row));
        let mut text = print::table(&rows);
        for card in &survey.cards {
            text.push_str(&details(card));
        }
        text
    };
    for finding in survey.all_findings() {
        text.push_str(&told(&finding));
    }
    text
}

fn cpu_only() -> String {
    let host = host::survey();
    let cpu = host
        .cpu
        .as_deref()
        .map_or_else(|| "unknown".to_owned(), print::safe);
    let memory = host
        .memory_mib
        .map_or_else(|| "unknown".to_owned(), print::mib);
    format!(
        "no GPU; CPU {cpu} with {} cores, {memory} memory\n",
        or_dash(host.cores)
    )
}

fn row(card: &Card) -> Vec<String> {
    let whole = |value: Option<f32>, unit: &str| or_dash(value.map(|v| format!("{v:.0} {unit}")));
    let safe = |text: &Option<String>| or_dash(text.as_deref().map(print::safe));
    vec![
        card.gpu.index.to_string(),
        print::safe(&card.gpu.name),
        memory(card),
        or_dash(card.load.vram_used_mib.map(print::mib)),
        whole(card.load.util_pct, "%"),
        whole(card.load.temp_c, "°C"),
        whole(card.load.power_w, "W"),
        state(card),
        safe(&card.gpu.driver),
        safe(&card.gpu.cuda),
    ]
}

fn memory(card: &Card) -> String {
    let size = or_dash(card.gpu.vram_mib.map(print::mib));
    match card.gpu.unified_memory {
        Some(true) => format!("{size} unified"),
        Some(false) | None => size,
    }
}

fn state(card: &Card) -> String {
    let is_split = card.mig.is_some_and(|mig| mig.enabled);
    match card.throttle.as_deref() {
        _ if card.asleep => "asleep",
        Some([_, ..]) => "throttled",
        _ if is_split => "MIG",
        _ => "awake",
    }
    .to_owned()
}

/// What does not fit into the table: who the card is, its parts, its processes, what it does not tell.
fn details(card: &Card) -> String {
    let mut lines = Vec::new();
    let uuid = card
        .gpu
        .uuid
        .as_deref()
        .map_or_else(|| "id unknown".to_owned(), print::safe);
    let pci = card
        .gpu
        .pci
        .as_deref()
        .map_or_else(String::new, |pci| format!(", PCI {}", print::safe(pci)));
    lines.push(format!("{uuid}{pci}, read by {}", card.gpu.backend));
    for part in &card.gpu.mig {
        let text = |text: &Option<String>| or_dash(text.as_deref().map(print::safe));
        let memory = or_dash(part.vram_mib.map(print::mib));
        lines.push(format!(
            "MIG {}, {memory}, {}",
            text(&part.profile),
            text(&part.uuid)
        ));
    }
    if card.mig.is_some_and(|mig| mig.enabled != mig.pending) {
        lines.push("MIG mode changes with the next reset of the card".to_owned());
    }
    for process in card.processes.iter().flatten() {
        let name = process
            .name
            .as_deref()
            .map_or_else(|| "unknown program".to_owned(), print::safe);
        let runtime = process
            .runtime
            .map_or_else(String::new, |runtime| format!(" ({runtime})"));
        let memory = process
            .vram_mib
            .map_or_else(|| "unknown memory".to_owned(), print::mib);
        lines.push(format!(
            "process {}: {name}{runtime}, {memory}",
            process.pid
        ));
    }
    for (field, why) in &card.missing {
        lines.push(format!("no {field}: {}", print::safe(why)));
    }
    let index = card.gpu.index;
    lines
        .iter()
        .map(|line| format!("GPU {index}: {line}\n"))
        .collect()
}

fn told(finding: &Finding) -> String {
    let mark = match finding.severity {
        Severity::Info => "note",
        Severity::Warn => "warning",
        Severity::Fail => "failure",
    };
    let fix = finding
        .fix
        .map_or_else(String::new, |fix| format!("  try: {fix}\n"));
    format!("{mark}: {}\n{fix}", print::safe(&finding.message))
}
