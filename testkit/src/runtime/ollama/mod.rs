//! Ollama 0.32: NDJSON on `/api`, OpenAI's form on `/v1`.
//!
//! Particular: durations in nanoseconds and zero counts left out; Go's escapes; models load on demand inside
//! the first request; cached tokens are never told; an error inside a `/v1` stream is lost, the stream just ends;
//! a Host that is not local is refused with an empty 403 while bound to loopback.

mod models;
mod native;
mod openai;

use super::answer::{Answer, Call, Job, Plain, Reply, go_js};
use super::engine::Sim;
use super::text::{Finish, Generation, Prompt};
use serde_json::Value;

const VERSION: &str = "0.32.15";
const LEGACY_VERSION: &str = "0.32.5";
const JSON: &str = "application/json; charset=utf-8";
const BUSY: &str = "server busy, please try again.  maximum pending requests exceeded";
const FAILED: &str = "an error was encountered while running the model: unexpected EOF";
const CONTEXT: &str = "the prompt is longer than the context length currently available to the model; shorten the \
    prompt, adjust the context length in settings, or use a model with a longer context length";

pub(super) fn answer(sim: &Sim, call: &Call) -> Answer {
    if sim.config.bind.ip().is_loopback() && !has_local_host(call) {
        return Plain::new(403, "", "").into();
    }
    let read = matches!(call.method.as_str(), "GET" | "HEAD");
    match (call.path.as_str(), read) {
        ("/", true) => Plain::new(200, "text/plain; charset=utf-8", "Ollama is running").into(),
        ("/api/version", true) => ok(format!("{{\"version\":{}}}", go_js(version(sim)))),
        ("/api/tags", true) => ok(models::tags(sim)),
        ("/api/ps", true) => ok(models::loaded(sim)),
        ("/v1/models", true) => Plain::json(200, models::openai(sim)).into(),
        ("/api/show", false) => models::show(sim, call),
        ("/api/chat" | "/api/generate", false) => native::generate(sim, call),
        ("/api/embed", false) => native::embed(sim, call),
        ("/v1/chat/completions" | "/v1/completions", false) => openai::generate(sim, call),
        ("/v1/embeddings", false) => openai::embeddings(sim, call),
        (
            "/"
            | "/api/version"
            | "/api/tags"
            | "/api/ps"
            | "/v1/models"
            | "/api/show"
            | "/api/chat"
            | "/api/generate"
            | "/api/embed"
            | "/v1/chat/completions"
            | "/v1/completions"
            | "/v1/embeddings",
            _,
        ) => Plain::new(405, "text/plain", "405 method not allowed").into(),
        _ => Plain::new(404, "text/plain", "404 page not found").into(),
    }
}

fn version(sim: &Sim) -> &'static str {
    if sim.config.legacy {
        LEGACY_VERSION
    } else {
        VERSION
    }
}

fn ok(body: String) -> Answer {
    Plain::new(200, JSON, body).into()
}

fn native_error(status: u16, message: &str) -> Plain {
    Plain::new(status, JSON, format!("{{\"error\":{}}}", go_js(message)))
}

fn openai_error(status: u16, message: &str) -> Plain {
    let kind = match status {
        400 => "invalid_request_error",
        404 => "not_found_error",
        _ => "api_error",
    };
    let message = go_js(message);
    let body = format!(
        "{{\"error\":{{\"message\":{message},\"type\":\"{kind}\",\"param\":null,\"code\":null}}}}\n"
    );
    Plain::json(status, body)
}

fn has_local_host(call: &Call) -> bool {
    let host = call
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok())
        .unwrap_or("");
    let name = if host.starts_with('[') {
        host.split_once(']').map_or(host, |(name, _)| &name[1..])
    } else {
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    };
    match name.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_unspecified(),
        Ok(std::net::IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Err(_) => {
            let local = [".localhost", ".local", ".internal"];
            name.is_empty() || name == "localhost" || local.iter().any(|end| name.ends_with(end))
        }
    }
}

/// The full name of a model: Ollama adds `:latest` where the tag is missing.
fn full_name(name: &str) -> String {
    let tagged = name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'));
    if tagged {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

fn knows(sim: &Sim, name: &str) -> bool {
    let name = full_name(name);
    sim.config
        .models
        .iter()
        .any(|model| full_name(model) == name)
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

/// Reads the body and the model; the error in the form of the route.
fn accept(
    sim: &Sim,
    call: &Call,
    error: fn(u16, &str) -> Plain,
) -> Result<(Value, String), Answer> {
    if call.body.is_empty() {
        return Err(Answer::Refused(error(400, "missing request body")));
    }
    let Some(body @ Value::Object(_)) = call.json() else {
        return Err(Answer::Refused(error(
            400,
            "invalid character in request body",
        )));
    };
    let model = body["model"].as_str().unwrap_or("").to_owned();
    if model.is_empty() {
        return Err(Answer::Refused(error(400, "model is required")));
    }
    if !knows(sim, &model) {
        return Err(Answer::Refused(error(
            404,
            &format!("model '{model}' not found"),
        )));
    }
    Ok((body, model))
}

fn job(sim: &Sim, generation: Generation, reply: Reply, error: fn(u16, &str) -> Plain) -> Answer {
    Answer::Generate(Box::new(Job {
        output_tokens: generation.output_tokens(),
        generation,
        reply,
        overloaded: error(503, BUSY),
        failed: error(500, FAILED),
        load: sim.loading_left(),
    }))
}

/// An answer without text: its prompt counts, nothing is generated.
fn embedding_job(
    sim: &Sim,
    input: &Value,
    body: impl FnOnce(u32) -> Plain,
    error: fn(u16, &str) -> Plain,
) -> Answer {
    let prompt = Prompt::of_prompt(input);
    let generation = Generation {
        prompt_tokens: prompt.len(),
        cached_tokens: 0,
        tokens: Vec::new(),
        finish: Finish::Stop,
    };
    let reply = Reply::Whole(body(prompt.len()));
    job(sim, generation, reply, error)
}

const VECTOR: &str = "[0.5,-0.5,0.5,-0.5]";
