//! `status`: asks the running agent over its local socket. Exit 1 where none runs.

use super::print::{self, or_dash};
use super::{Context, small_runtime};
use crate::cli::Output;
use crate::gpu::why_not_read;
use crate::link::{LinkStatus, Phase};
use crate::local::{self, Answer, LocalError, Request, Status};
use crate::mode::Mode;
use anyhow::{Result, bail};
use dgon_agent_core::owner::Verdict;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) fn run(context: &Context, output: Output) -> Result<ExitCode> {
    context.quiet_log();
    let socket = context.paths.state.socket();
    let answer = small_runtime()?.block_on(local::ask(&socket, Request::Status));
    let status = match answer {
        Ok(Answer::Status(status)) => status,
        Ok(Answer::Refused { message }) => bail!("the running agent does not answer: {message}"),
        Ok(Answer::Done | Answer::KeyRotated(_) | Answer::Owner(_) | Answer::Stopping(_)) => {
            return Err(LocalError::Answer.into());
        }
        Err(error @ LocalError::NotRunning(_)) if output.json => {
            print::json(&json!({"running": false, "message": error.to_string()}))?;
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    if output.json {
        let mut said = serde_json::to_value(&status)?;
        said["running"] = Value::from(true);
        print::json(&said)?;
    } else {
        print::out(&text(&status))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Status) -> String {
    let mut lines = vec![
        (
            "node",
            match &status.region {
                Some(region) => format!("{} in {}", status.node_id, print::safe(region)),
                None => status.node_id.clone(),
            },
        ),
        (
            "agent",
            format!(
                "{}, pid {}, up {}",
                status.version,
                status.pid,
                duration(status.uptime_s)
            ),
        ),
        ("network", network(status)),
        ("session", session(&status.link)),
        ("mode", print::safe(&mode(status))),
        (
            "proxy",
            format!(
                "{}, {} running, {:.0} tokens/s",
                status.proxy, status.in_flight, status.tokens_per_second
            ),
        ),
        ("receipts", receipts(status)),
        ("today", today(status)),
    ];
    for (index, limit) in status.owner.limits.iter().enumerate() {
        let mark = match limit.verdict {
            Verdict::Clear => "ok",
            Verdict::Stops => "STOPS",
            Verdict::Unknown => "unknown",
        };
        lines.push((
            if index == 0 { "limits" } else { "" },
            format!("{mark}: {}; {}", limit.setting, print::safe(&limit.finding)),
        ));
    }
    for (index, gpu) in status.gpus.iter().enumerate() {
        let load = status.gpu_loads.iter().find(|load| load.index == gpu.index);
        let part =
            |value: Option<f32>, unit: &str| or_dash(value.map(|v| format!("{v:.0} {unit}")));
        lines.push((
            if index == 0 { "gpus" } else { "" },
            format!(
                "{} {}: {}, {}, {}",
                gpu.index,
                print::safe(&gpu.name),
                part(load.and_then(|load| load.util_pct), "%"),
                part(load.and_then(|load| load.temp_c), "°C"),
                part(load.and_then(|load| load.power_w), "W"),
            ),
        ));
    }
    match status.gpus_not_read {
        Some(reason) => lines.push(("gpus", why_not_read(reason))),
        None if status.gpus.is_empty() => {
            lines.push(("gpus", "none; models run on the CPU".to_owned()));
        }
        None => {}
    }
    for (index, runtime) in status.runtimes.iter().enumerate() {
        let version = runtime
            .version
            .as_deref()
            .map_or(String::new(), |v| format!(" {}", print::safe(v)));
        let ready = if runtime.ready { "ready" } else { "not ready" };
        lines.push((
            if index == 0 { "runtimes" } else { "" },
            format!(
                "{}{version}, {ready}, {} models",
                runtime.kind,
                runtime.models.len()
            ),
        ));
    }
    if status.runtimes.is_empty() {
        lines.push(("runtimes", "none answers".to_owned()));
    }
    for endpoint in &status.endpoints {
        if let Some(why) = endpoint.why_away() {
            let url = &endpoint.url;
            lines.push(("", format!("AWAY: {url}; {}", print::safe(why))));
        }
    }
    lines
        .into_iter()
        .map(|(name, value)| format!("{name:9} {value}\n"))
        .collect()
}

fn network(status: &Status) -> String {
    let link = &status.link;
    let session = match link.phase {
        Phase::Off => "no control plane",
        Phase::Connecting => "connecting",
        Phase::Connected => "connected",
        Phase::Waiting => "not connected",
        Phase::Replaced => "replaced by another agent of this node",
        Phase::Stopped => "stopping",
    };
    let mut text = session.to_owned();
    if let Some(url) = &link.url {
        text.push_str(&format!(" to {url}"));
    }
    if let Some(node) = &link.node {
        text.push_str(&format!(", node is {}", node.status.as_str()));
        if !node.reason.is_empty() {
            text.push_str(&format!(" ({})", print::safe(&node.reason)));
        }
    }
    if let Some(error) = &link.last_error {
        text.push_str(&format!("; {}", print::safe(error)));
    }
    text
}

/// The session that stands, and the last acknowledgement.
fn session(link: &LinkStatus) -> String {
    let now_ms = crate::clock::unix_ms();
    // A clock that was set back makes no negative age.
    let ago = |ms: u64| duration(now_ms.saturating_sub(ms) / 1000);
    let session = match (&link.session_id, link.connected_ms) {
        (Some(id), Some(since)) => format!("{}, for {}", print::safe(id), ago(since)),
        _ => "none".to_owned(),
    };
    match link.last_ack_ms {
        Some(ms) => format!("{session}, last acknowledgement {} ago", ago(ms)),
        None => format!("{session}, no acknowledgement since the agent started"),
    }
}

/// Work and earnings since midnight UTC. What is not known is said to be so.
fn today(status: &Status) -> String {
    let work = match &status.today {
        Some(today) => format!(
            "{} receipts, {} tokens in, {} tokens out",
            today.receipts, today.input, today.output
        ),
        None => "receipts not counted: the spool cannot be read, or not yet".to_owned(),
    };
    let earned = match &status.earnings_today_usd {
        Some(usd) => format!("{} USD earned", print::safe(usd)),
        None => "earnings not known yet: the control plane tells none".to_owned(),
    };
    format!("{work}; {earned} (since midnight UTC)")
}

fn receipts(status: &Status) -> String {
    let spool = &status.spool;
    let mut text = format!(
        "{} today, {} waiting of at most {}, acknowledged up to number {} of this key's chain",
        spool.receipts_today, spool.depth, spool.max_receipts, spool.acked_seq
    );
    match spool.former_waiting {
        Some(0) => {}
        Some(many) => text.push_str(&format!(", {many} of former keys waiting")),
        None => text.push_str(", those of former keys not counted"),
    }
    if spool.dead_letters > 0 {
        text.push_str(&format!(", {} refused", spool.dead_letters));
    }
    text
}

/// One line of all that keeps requests away: what keeps those of the network away, and what keeps all.
fn mode(status: &Status) -> String {
    let owner = status.owner.sentence();
    match (&status.spool.reason, status.owner.mode) {
        (None, _) => owner,
        (Some(reason), Mode::Serving) => format!("NOT SERVING: {reason}"),
        (Some(reason), Mode::Paused | Mode::Draining) => {
            format!("NOT SERVING: {reason}; also {owner}")
        }
    }
}

/// Seconds as people say them.
fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_said_in_two_units() {
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(3_599), "59 min");
        assert_eq!(duration(7_260), "2 h 1 min");
        assert_eq!(duration(90_000), "1 d 1 h");
    }
}
