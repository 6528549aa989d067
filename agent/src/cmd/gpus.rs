//! `gpus`: the cards of this machine, their load, and what is wrong. Works without a running agent.

use super::print::{self, or_dash};
use crate::cli::Output;
use crate::gpu::{Card, Detector, Severity, Survey};
use crate::host;
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

pub(super) fn run(output: Output) -> Result<ExitCode> {
    let survey = Detector::new().survey();
    if output.json {
        print::json(&json!({
            "backend": survey.backend(),
            "cards": survey.cards,
            "findings": survey.findings,
            "host": host::survey(),
        }))?;
    } else {
        print::out(&text(&survey))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(survey: &Survey) -> String {
    let mut text = String::new();
    if survey.cards.is_empty() {
        let host = host::survey();
        text.push_str(&format!(
            "no GPU; CPU {} with {} cores, {} memory\n",
            host.cpu
                .as_deref()
                .map_or_else(|| "unknown".to_owned(), print::safe),
            or_dash(host.cores),
            host.memory_mib
                .map_or_else(|| "unknown".to_owned(), print::mib),
        ));
    } else {
        let mut rows = vec![
            [
                "GPU", "NAME", "MEMORY", "USED", "LOAD", "TEMP", "POWER", "DRIVER", "CUDA", "UUID",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        rows.extend(survey.cards.iter().map(row));
        text.push_str(&print::table(&rows));
    }
    for finding in &survey.findings {
        let mark = match finding.severity {
            Severity::Info => "note",
            Severity::Warn => "warning",
            Severity::Fail => "failure",
        };
        text.push_str(&format!("{mark}: {}\n", print::safe(&finding.message)));
        if let Some(fix) = finding.fix {
            text.push_str(&format!("  try: {fix}\n"));
        }
    }
    text
}

fn row(card: &Card) -> Vec<String> {
    let whole = |value: Option<f32>, unit: &str| or_dash(value.map(|v| format!("{v:.0} {unit}")));
    vec![
        card.gpu.index.to_string(),
        print::safe(&card.gpu.name),
        or_dash(card.gpu.vram_mib.map(print::mib)),
        or_dash(card.load.vram_used_mib.map(print::mib)),
        whole(card.load.util_pct, "%"),
        whole(card.load.temp_c, "°C"),
        whole(card.load.power_w, "W"),
        or_dash(card.gpu.driver.as_deref()),
        or_dash(card.gpu.cuda.as_deref()),
        or_dash(card.gpu.uuid.as_deref()),
    ]
}
