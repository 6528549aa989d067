//! `runtimes` and `models`: what answers on this machine. Both look themselves and need no running agent.

use super::print::{self, or_dash};
use super::{Context, small_runtime};
use crate::cli::Output;
use crate::identity::{control_plane, load_enrolment};
use crate::runtime::{FoundRuntime, Look, Readiness, look_once};
use anyhow::Result;
use serde_json::{Value, json};
use std::process::ExitCode;

const NONE: &str = "no LLM runtime answers; start one (such as `ollama serve`), or name its address under \
                    runtimes.endpoints in agent.yaml\n";

/// Said of a runtime whose list of models is closed to us.
const KEY: &str = "it asks for an API key; name it under runtimes.endpoints";

fn look(context: &Context) -> Result<Look> {
    context.quiet_log();
    let config = context.load_config(Vec::new())?.config;
    let enrolment = load_enrolment(&context.paths.state).ok();
    let control_plane = control_plane(&config, enrolment.as_ref());
    let settings = crate::run::registry_settings(&config, control_plane.as_ref())?;
    Ok(small_runtime()?.block_on(look_once(&settings)))
}

/// Readiness as a word, and the runtime's reason.
fn readiness(found: &FoundRuntime) -> (&'static str, Option<&str>) {
    match &found.readiness {
        Readiness::Ready => ("ready", None),
        Readiness::Loading => ("loading", None),
        Readiness::Unready { reason } => ("not ready", Some(reason)),
    }
}

pub(super) fn runtimes(context: &Context, output: Output) -> Result<ExitCode> {
    let Look { found, reports } = look(context)?;
    let away = || {
        let named = reports.iter();
        named.filter_map(|one| Some((one.url.as_str(), one.why_away()?)))
    };
    if output.json {
        let all: Vec<Value> = found
            .iter()
            .map(|runtime| {
                let (state, reason) = readiness(runtime);
                json!({
                    "kind": runtime.kind.as_str(),
                    "endpoint": runtime.endpoint.to_string(),
                    "version": runtime.version,
                    "ready": runtime.is_ready(),
                    "state": state,
                    "reason": reason,
                    "models": runtime.models,
                    "running": runtime.running,
                    "queue": runtime.queue,
                    "kv_cache": runtime.kv_cache,
                    "asks_for_key": runtime.asks_for_key,
                })
            })
            .collect();
        let away: Vec<Value> = away()
            .map(|(url, why)| json!({ "endpoint": url, "reason": why }))
            .collect();
        print::json(&json!({ "runtimes": all, "away": away }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        print::out(NONE)?;
    } else {
        let head = [
            "RUNTIME", "ADDRESS", "VERSION", "STATE", "MODELS", "RUNNING", "QUEUE", "KV CACHE",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(found.iter().map(|runtime| {
            let (state, reason) = readiness(runtime);
            let reason = reason.or_else(|| runtime.asks_for_key.then_some(KEY));
            vec![
                runtime.kind.as_str().to_owned(),
                runtime.endpoint.to_string(),
                or_dash(runtime.version.as_deref().map(print::safe)),
                reason.map_or_else(
                    || state.to_owned(),
                    |why| format!("{state}: {}", print::safe(why)),
                ),
                runtime.models.len().to_string(),
                or_dash(runtime.running),
                or_dash(runtime.queue),
                or_dash(
                    runtime
                        .kv_cache
                        .map(|fill| format!("{:.0} %", fill * 100.0)),
                ),
            ]
        }));
        print::out(&print::table(&rows))?;
    }
    for (url, why) in away() {
        let why = print::safe(why);
        print::out(&format!(
            "AWAY: {url}, named under runtimes.endpoints: {why}\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn models(context: &Context, output: Output) -> Result<ExitCode> {
    let found = look(context)?.found;
    let all = || {
        found
            .iter()
            .flat_map(|runtime| runtime.models.iter().map(move |model| (runtime, model)))
    };
    if output.json {
        let models: Vec<Value> = all()
            .map(|(runtime, model)| {
                json!({
                    "runtime": runtime.kind.as_str(),
                    "id": model.id,
                    "digest": model.digest,
                    "size_bytes": model.size_bytes,
                    "loaded": model.loaded,
                })
            })
            .collect();
        print::json(&json!({ "models": models }))?;
    } else if found.is_empty() {
        print::out(NONE)?;
    } else if all().next().is_none() {
        print::out("the runtimes that answer serve no model yet\n")?;
    } else {
        let mut rows = vec![
            ["MODEL", "RUNTIME", "SIZE", "LOADED", "DIGEST"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(all().map(|(runtime, model)| {
            let loaded = model.loaded.map(|yes| if yes { "yes" } else { "no" });
            vec![
                print::safe(&model.id),
                runtime.kind.as_str().to_owned(),
                or_dash(
                    model
                        .size_bytes
                        .map(|bytes| print::mib(bytes / (1024 * 1024))),
                ),
                or_dash(loaded),
                or_dash(model.digest.as_deref().map(print::safe)),
            ]
        }));
        print::out(&print::table(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}
